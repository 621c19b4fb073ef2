"""The plugins that come with zobench: optimizers, datasets, methods and trackers."""
