from collections import Counter

import numpy as np
import pytest
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torchvision.transforms import v2

from tas.data.images import ImageData, Images, SearchData, Transform, stratified_halves
from tas.errors import TasError


class Numbered(ImageData):
    """Images that carry their index in their first pixel; `loaded` counts what was asked for."""

    num_classes, in_channels, image_size = 3, 1, 8

    def __init__(self, batch_size: int = 4, seed: int = 0, count: int = 30) -> None:
        super().__init__(batch_size, workers=0, seed=seed)
        self.loaded: Counter[str] = Counter()
        self.count = count

    def load(self, train: bool) -> Images:
        self.loaded["train" if train else "test"] += 1
        pixels = torch.zeros(self.count, 1, 8, 8, dtype=torch.uint8)
        pixels[:, 0, 0, 0] = torch.arange(self.count)
        return Images(pixels, [index % 3 for index in range(self.count)])

    def augmentation(self) -> Transform:
        return v2.Compose([v2.ToDtype(torch.float32), v2.Normalize([0.0], [-1.0])])  # the sign tells it apart

    def normalisation(self) -> Transform:
        return v2.ToDtype(torch.float32)


def set_up(**options: int) -> Numbered:
    data = Numbered(**options)
    data.setup()
    return data


def indices(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].int().tolist()


def test_training_batches_are_full_augmented_and_a_shuffle_without_repeats() -> None:
    seen: list[int] = []
    for images, labels in set_up().train_dataloader():
        assert images.shape == (4, 1, 8, 8) and images.dtype == torch.float32
        batch = indices(-images)
        assert labels.tolist() == [index % 3 for index in batch]
        seen += batch
    assert len(seen) == len(set(seen)) == 28  # a rest of two is left for another epoch
    assert seen != sorted(seen)


def test_a_training_set_smaller_than_a_batch_gives_one_batch() -> None:
    (batch,) = set_up(batch_size=256).train_dataloader()
    assert sorted(indices(-batch[0])) == list(range(30))


def test_test_images_come_all_in_order_and_not_augmented() -> None:
    images = torch.cat([images for images, _ in set_up().test_dataloader()])
    assert indices(images) == list(range(30))


def test_test_images_are_loaded_only_when_asked_for_and_training_images_once() -> None:
    data = set_up()
    data.setup()
    data.train_dataloader()
    data.train_dataloader()
    assert data.loaded == {"train": 1}
    data.test_dataloader()
    assert data.loaded == {"train": 1, "test": 1}


def test_a_search_has_no_test_images() -> None:
    data = set_up()
    halves = SearchData(data, seed=0)
    halves.setup("fit")
    for loader in (halves.test_dataloader, halves.predict_dataloader):
        with pytest.raises(MisconfigurationException):
            loader()
    halves.train_dataloader()
    halves.val_dataloader()
    assert data.loaded == {"train": 1}


def test_a_search_trains_weights_and_architecture_on_halves_that_share_nothing() -> None:
    halves = SearchData(set_up(batch_size=5), seed=0)
    loaders = halves.train_dataloader()
    seen = {name: [i for images, _ in loader for i in indices(-images)] for name, loader in loaders.items()}
    assert set(seen) == {"weights", "architecture"}
    assert sorted(seen["weights"]) == halves.weights_half
    assert sorted(seen["architecture"]) == halves.architecture_half
    assert sorted(seen["weights"] + seen["architecture"]) == list(range(30))


def test_a_search_is_judged_on_its_architecture_half_not_augmented() -> None:
    halves = SearchData(set_up(), seed=0)
    images = torch.cat([images for images, _ in halves.val_dataloader()])
    assert indices(images) == halves.architecture_half


@pytest.mark.parametrize("counts", [(10, 10), (11, 7, 3), (2, 2, 2), (501, 2, 33, 8), (3, 3, 3, 3, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_halves_are_disjoint_complete_and_stratified_within_one(counts: tuple[int, ...], seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    first, second = stratified_halves(labels, seed)
    assert sorted(first + second) == list(range(len(labels)))
    assert abs(len(first) - len(second)) <= 1
    for label in range(len(counts)):
        difference = sum(labels[i] == label for i in first) - sum(labels[i] == label for i in second)
        assert abs(difference) <= 1


def test_halves_are_a_function_of_the_seed() -> None:
    labels = [index % 4 for index in range(80)]
    assert stratified_halves(labels, 3) == stratified_halves(labels, 3)
    assert stratified_halves(labels, 3) != stratified_halves(labels, 4)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0, 1], [0, 1]])
def test_a_class_with_a_single_image_cannot_be_halved(labels: list[int]) -> None:
    with pytest.raises(TasError, match="every class needs at least 2"):
        stratified_halves(labels, 0)
