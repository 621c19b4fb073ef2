"""A dataset of procedural frontal chest X-rays with labels; it needs no download.

``anatomy`` draws patient and study, ``thorax`` the absorption map, ``findings`` the disease and
``film`` the exposure. ``generator`` makes one film from them, and ``dataset`` makes a cohort.
"""

from .dataset import PhantomDataset

__all__ = ["PhantomDataset"]
