"""What scores are worth: group rates, metrics, recovery, fairness per query, intervals."""
