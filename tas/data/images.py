"""Labelled images, and the LightningDataModules that feed training and search with them."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pytorch_lightning as pl
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from tas.data.loaders import judging_loader, training_loader
from tas.errors import TasError

Transform = Callable[[Tensor], Tensor]
"""From one image, (C, H, W) uint8, to one ready for a network, (C, H, W) float32."""


class Pixels(Protocol):
    """Images by index, each (C, H, W) uint8: a tensor (N, C, H, W), or files that are read when asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Tensor: ...


@dataclass(frozen=True)
class Images:
    """Images and the index of each one's class."""

    pixels: Pixels
    labels: Sequence[int]

    def transformed(self, transform: Transform) -> "TransformedImages":
        """As a torch Dataset of (image, label)."""
        return TransformedImages(self, transform)


class TransformedImages(Dataset[tuple[Tensor, int]]):
    """Images as a torch Dataset: (C, H, W) float32 and the class."""

    def __init__(self, images: Images, transform: Transform) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images.pixels[index]), self.images.labels[index]


class ImageData(pl.LightningDataModule, ABC):
    """A data set for training: all training images, and the test images.

    After `prepare_data` and `setup`, `num_classes`, `in_channels` and `image_size` describe it. The test images are
    loaded only when `test_dataloader` is called.

    Args:
        batch_size: Images in a training batch, at most; a smaller training set gives smaller ones.
        workers: Processes that load images; 0 loads in this one.
        seed: Of the shuffle.
    """

    num_classes: int
    in_channels: int
    image_size: int
    """Height and width, in pixels."""

    def __init__(self, batch_size: int, workers: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.train: Images | None = None

    @abstractmethod
    def load(self, train: bool) -> Images:
        """The training or the test images; TasError where they cannot be had. Sets what describes the data set."""

    @abstractmethod
    def augmentation(self) -> Transform:
        """What a training image goes through."""

    @abstractmethod
    def normalisation(self) -> Transform:
        """What an image to be judged goes through."""

    def setup(self, stage: str | None = None) -> None:
        """Load the training images, once."""
        if self.train is None:
            self.train = self.load(train=True)

    def train_images(self) -> Images:
        assert self.train is not None, "setup comes first"
        return self.train

    def fingerprint(self) -> str:
        """A digest of the training images and their classes: another one means another data set."""
        images = self.train_images()
        digest = hashlib.sha256(repr((self.num_classes, list(images.labels))).encode())
        digest.update(
            images.pixels.numpy().tobytes() if isinstance(images.pixels, Tensor) else repr(images.pixels).encode()
        )
        return digest.hexdigest()

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches of augmented training images."""
        return self.training_batches(self.train_images().transformed(self.augmentation()))

    def test_dataloader(self) -> DataLoader:
        """All test images, in order."""
        return self.judging_batches(self.load(train=False).transformed(self.normalisation()))

    def training_batches(self, dataset: Dataset[tuple[Tensor, int]]) -> DataLoader:
        """Shuffled full batches, augmented as a function of seed and epoch."""
        return training_loader(dataset, self.batch_size, self.workers, self.seed)

    def judging_batches(self, dataset: Dataset[tuple[Tensor, int]]) -> DataLoader:
        """All images, in order."""
        return judging_loader(dataset, max(self.batch_size, 256), self.workers)


class SearchData(pl.LightningDataModule):
    """The training images of a data set in two stratified halves: one for the weights, one for the architecture.

    There is no test loader: a search cannot see the test images.

    Args:
        data: The data set, set up.
        seed: Of the split.
    """

    def __init__(self, data: ImageData, seed: int = 0) -> None:
        super().__init__()
        self.data = data
        self.weights_half, self.architecture_half = stratified_halves(data.train_images().labels, seed)

    def train_dataloader(self) -> dict[str, DataLoader]:
        """{"weights": (images, labels), "architecture": (images, labels)}, both augmented, shuffled apart."""
        images = self.data.train_images().transformed(self.data.augmentation())
        return {
            "weights": self.data.training_batches(Subset(images, self.weights_half)),
            "architecture": self.data.training_batches(Subset(images, self.architecture_half)),
        }

    def val_dataloader(self) -> DataLoader:
        """The architecture half, in order, not augmented."""
        images = self.data.train_images().transformed(self.data.normalisation())
        return self.data.judging_batches(Subset(images, self.architecture_half))


def stratified_halves(labels: Sequence[int], seed: int) -> tuple[list[int], list[int]]:
    """Indices of two halves with the same share of every class. TasError if a class has a single image."""
    counts = np.bincount(np.asarray(labels))
    if len(labels) < 2 * len(counts) or (counts[counts > 0] < 2).any():
        raise TasError("--data: a search splits the training images in two, so every class needs at least 2 of them")
    first, second = train_test_split(range(len(labels)), test_size=0.5, stratify=labels, random_state=seed)
    return sorted(first), sorted(second)
