"""The built-in metrics, one module per notion of fairness or quality."""
