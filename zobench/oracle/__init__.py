"""The only way to learn anything from an encoder: ledger, metered encoder, objective, oracle."""
