"""The objectives: functions of embeddings that optimizers lower; one module per objective."""
