"""Statistics of scores: group rates, metrics, recovery, fairness per query, intervals."""
