"""A procedural frontal chest X-ray: labelled films for everybody, with nothing to download.

``anatomy`` draws who is on the film, ``thorax`` what X-rays meet there, ``findings`` what is wrong
with it, ``film`` how it is exposed; ``generator`` joins them and ``dataset`` makes a cohort of it.
"""

from .dataset import PhantomDataset

__all__ = ["PhantomDataset"]
