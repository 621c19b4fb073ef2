"""Makes registered datasets for recipes of weights."""

from __future__ import annotations

from collections.abc import Mapping

from ..config import cache_folder
from ..datasets import Dataset, DatasetRequest
from ..plugins import Registry
from ..pretraining import DatasetMaker


def dataset_maker(registry: Registry) -> DatasetMaker:
    """A function that makes a dataset from (name, disease, image size, overrides)."""

    def make(name: str, disease: str, size: int, overrides: Mapping[str, object]) -> Dataset:
        offer, _ = registry.find("datasets", name)
        request = DatasetRequest(disease, None, size, cache_folder())
        dataset: Dataset = offer.plugin.make(request, overrides, "dataset")
        return dataset

    return make
