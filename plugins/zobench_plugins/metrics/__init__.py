"""The built-in metrics, one module per definition of fairness or quality."""
