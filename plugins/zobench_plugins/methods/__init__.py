"""The methods, which are rows of the paper's tables; one module per method."""
