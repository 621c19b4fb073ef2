"""The parts between an optimizer and an encoder: oracle, objective, metered encoder, ledger."""
