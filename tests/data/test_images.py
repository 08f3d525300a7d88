from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import Subset

from tas.data.augmentation import Transform
from tas.data.images import ImageData, Images, SearchData, stratified_parts
from tas.data.opening import open_data
from tas.errors import TasError


class Numbered(ImageData):
    """Images that carry their index in their first pixel; `loaded` counts what was asked for."""

    num_classes, in_channels, image_size = 3, 1, 8

    def __init__(self, batch_size: int = 4, seed: int = 0, count: int = 30, workers: int = 0) -> None:
        super().__init__(batch_size, workers, seed)
        self.loaded: Counter[str] = Counter()
        self.count = count

    def load(self, train: bool) -> Images:
        self.loaded["train" if train else "test"] += 1
        pixels = torch.zeros(self.count, 1, 8, 8, dtype=torch.uint8)
        pixels[:, 0, 0, 0] = torch.arange(self.count)
        return Images(pixels, [index % 3 for index in range(self.count)])

    def augmentation(self) -> Transform:
        return Transform(lambda images: -images.float())  # the sign tells it apart

    def normalisation(self) -> Transform:
        return Transform(torch.Tensor.float)


def set_up(**options: int) -> Numbered:
    data = Numbered(**options)
    data.setup()
    return data


def indices(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].int().tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_are_full_augmented_and_a_shuffle_without_repeats(workers: int) -> None:
    seen: list[int] = []
    for images, labels in set_up(workers=workers).train_dataloader():
        assert images.shape == (4, 1, 8, 8) and images.dtype == torch.float32
        assert labels.dtype == torch.int64
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


@pytest.mark.parametrize("workers", [0, 2])
def test_a_search_trains_weights_and_architecture_on_halves_that_share_nothing(workers: int) -> None:
    halves = SearchData(set_up(batch_size=5, workers=workers), seed=0)
    seen: dict[str, list[int]] = {}
    for name, loader in halves.train_dataloader().items():
        seen[name] = []
        for images, labels in loader:
            assert labels.tolist() == [index % 3 for index in indices(-images)]
            seen[name] += indices(-images)
    assert set(seen) == {"weights", "architecture"}
    assert sorted(seen["weights"]) == halves.weights_half
    assert sorted(seen["architecture"]) == halves.architecture_half
    assert sorted(seen["weights"] + seen["architecture"]) == list(range(30))


def test_a_search_is_judged_on_its_architecture_half_not_augmented() -> None:
    halves = SearchData(set_up(), seed=0)
    images = torch.cat([images for images, _ in halves.val_dataloader()])
    assert indices(images) == halves.architecture_half


def trainer_on(device: str) -> Any:
    return SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What torch says of a GPU that is not there: one whose memory holds the 30 images four times, just."""
    properties = SimpleNamespace(total_memory=4 * 30 * 64)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return properties


def test_pixels_stay_where_they_are_for_a_trainer_on_the_cpu() -> None:
    data = set_up()
    halves, pixels = SearchData(data), data.train_images().pixels
    for module in (data, halves):
        module.trainer = trainer_on("cpu")
        module.train_dataloader()
        assert data.train_images().pixels is pixels


@pytest.mark.parametrize("searching", [True, False])
def test_pixels_move_once_to_the_gpu_that_trains_and_need_no_workers_there(
    searching: bool, gpu: SimpleNamespace
) -> None:
    # Of a fake tensor there is all but the numbers, on any device; what mixes devices, or needs the numbers, is an
    # error. Without numbers the loader itself cannot draw an order.
    with FakeTensorMode():
        data = set_up(workers=2)
        attached = SearchData(data) if searching else data
        attached.trainer = trainer_on("cuda:0")
        loaders = attached.train_dataloader()
        pixels = data.train_images().pixels
        assert isinstance(pixels, torch.Tensor) and pixels.device == torch.device("cuda:0")
        loaders = [*loaders.values(), attached.val_dataloader()] if searching else [loaders, data.test_dataloader()]
        assert data.train_images().pixels is pixels
        for loader in loaders:
            assert loader.num_workers == 0 and not loader.pin_memory  # pinning is for the CPU's memory alone
            images, labels = loader.dataset.__getitems__([3, 1, 2])
            assert images.device == labels.device == torch.device("cuda:0")
            assert images.shape == (3, 1, 8, 8) and labels.shape == (3,)


def test_pixels_that_would_fill_the_gpu_stay_and_have_workers(
    gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gpu.total_memory -= 1
    data = set_up(workers=2)
    data.trainer = trainer_on("cuda:0")
    loader = data.train_dataloader()
    assert data.train_images().device == torch.device("cpu")
    assert loader.num_workers == 2 and loader.pin_memory


def test_the_same_image_may_stand_in_a_batch_alone_or_in_a_part() -> None:
    images = set_up().train_images()
    transform = Transform(torch.Tensor.float)
    whole, part = images.transformed(transform), images.transformed(transform, [7, 5, 29])
    assert isinstance(part, Subset) and (len(whole), len(part)) == (30, 3)
    for dataset, index in ((whole, 29), (part, 2)):
        alone, label = dataset.__getitems__([index])
        assert alone.shape == (1, 1, 8, 8) and indices(alone) == [29]
        assert label.tolist() == [2]


@pytest.mark.parametrize("counts", [(10, 10), (11, 7, 3), (2, 2, 2), (501, 2, 33, 8), (3, 3, 3, 3, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_halves_are_disjoint_complete_and_stratified_within_one(counts: tuple[int, ...], seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    first, second = stratified_parts(labels, seed)
    assert sorted(first + second) == list(range(len(labels)))
    assert abs(len(first) - len(second)) <= 1
    for label in range(len(counts)):
        difference = sum(labels[i] == label for i in first) - sum(labels[i] == label for i in second)
        assert abs(difference) <= 1


def test_halves_are_a_function_of_the_seed() -> None:
    labels = [index % 4 for index in range(80)]
    assert stratified_parts(labels, 3) == stratified_parts(labels, 3)
    assert stratified_parts(labels, 3) != stratified_parts(labels, 4)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0, 1], [0, 1]])
def test_a_class_with_a_single_image_cannot_be_halved(labels: list[int]) -> None:
    with pytest.raises(TasError, match="every class needs at least 2"):
        stratified_parts(labels, 0)


@pytest.mark.parametrize(("wanted", "counts"), [(30, [3] * 10), (24, [3] * 4 + [2] * 6), (10**6, None), (None, None)])
def test_training_images_are_limited_to_the_first_of_each_class_and_test_images_never(
    wanted: int | None, counts: list[int] | None
) -> None:
    everything = open_data("digits", "", None, batch_size=8).train_images()
    data = open_data("digits", "", None, batch_size=8, train_images=wanted)
    images = data.train_images()
    assert len(data.load(train=False).labels) == 360
    found = np.bincount(images.labels).tolist()
    assert found == (counts or np.bincount(everything.labels).tolist())
    for label in range(10):
        mine, all_of_them = ([i for i, k in enumerate(x.labels) if k == label] for x in (images, everything))
        assert torch.equal(images.pixels[mine], everything.pixels[all_of_them[: len(mine)]])
