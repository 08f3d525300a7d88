"""Labelled images, and the LightningDataModules that feed training and search with them."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from tas.data.augmentation import Normalise, Transform, take_images
from tas.data.loaders import Batch, judging_loader, training_loader
from tas.data.preparation import Fit
from tas.errors import TasError

SHARE = 4
"""A GPU holds the pixels that it trains on if they take up at most its memory divided by this."""


class Pixels(Protocol):
    """Images by index, each (C, H, W) uint8: a tensor (N, C, H, W), or files that are read when asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Tensor: ...


@dataclass(frozen=True)
class Images:
    """Images and the index of each one's class."""

    pixels: Pixels
    labels: Sequence[int]

    @property
    def device(self) -> torch.device:
        """Where batches of them are made; files are read by the CPU."""
        return self.pixels.device if isinstance(self.pixels, Tensor) else torch.device("cpu")

    def near(self, trainer: pl.Trainer | None) -> "Images":
        """The same, in the memory of the GPU that a trainer trains on if they are a tensor that is small to it."""
        if trainer is None or not isinstance(self.pixels, Tensor):
            return self
        device = trainer.strategy.root_device
        if device.type != "cuda" or self.pixels.nbytes > torch.cuda.get_device_properties(device).total_memory / SHARE:
            return self
        return replace(self, pixels=self.pixels.to(device))

    def transformed(self, transform: Transform, indices: Sequence[int] | None = None) -> Dataset[Batch]:
        """As a torch Dataset that gives whole batches; with indices, of the images there."""
        images = TransformedImages(self, transform)
        return images if indices is None else Subset(images, indices)


class TransformedImages(Dataset[Batch]):
    """Images as a torch Dataset that gives whole batches, on the device on which the pixels are."""

    def __init__(self, images: Images, transform: Transform) -> None:
        self.pixels = images.pixels
        self.labels = torch.tensor(images.labels).to(images.device)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> Batch:
        places = torch.tensor(indices).to(self.labels.device, non_blocking=True)
        if isinstance(self.pixels, Tensor):
            images = self.transform(take_images(self.pixels, places))
        else:
            images = self.transform(self.pixels[index] for index in indices)
        return images, self.labels[places]


class ImageData(pl.LightningDataModule, ABC):
    """A data set for training: all training images, and the test images.

    After `prepare_data` and `setup`, `num_classes`, `in_channels` and `image_size` describe it. The test images are
    loaded only when `test_dataloader` is called.

    Args:
        batch_size: Images in a training batch, at most; a smaller training set gives smaller ones.
        workers: Processes that make batches; 0 makes them in this one, and so does a GPU that holds the images.
        seed: Of the shuffle.
        train_images: How many training images to use, at most; None for all.
        on_bad_image: Of image files that cannot be read: "error", they are an error, or "skip", they are left out.
    """

    num_classes: int
    in_channels: int
    image_size: int
    """Height and width, in pixels."""
    classes: Sequence[str] = ()
    """The names of the classes, by their indices; none where they have no names but these."""
    fit: Fit = "scale"
    """How an image file of any size would get that of the others."""
    statistics: Normalise
    """By which images are normalised: the data set's own, or those with which given weights were trained."""

    def __init__(
        self,
        batch_size: int,
        workers: int = 0,
        seed: int = 0,
        train_images: int | None = None,
        on_bad_image: str = "error",
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.most = train_images
        self.skip = on_bad_image == "skip"
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

    def used(self, labels: Sequence[int], train: bool) -> list[int]:
        """Indices of the images to use: of the training images the first of each class, where not all are wanted."""
        if not train or self.most is None:
            return list(range(len(labels)))
        each, more = divmod(self.most, self.num_classes)
        left = [each + (label < more) for label in range(self.num_classes)]
        found = []
        for index, label in enumerate(labels):
            if left[label]:
                left[label] -= 1
                found.append(index)
        return found

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.in_channels, self.image_size, self.image_size

    def described(self) -> dict[str, Any]:
        """What a network's images must be like, and which classes its logits are of."""
        return {
            "channels": self.in_channels,
            "size": self.image_size,
            "fit": self.fit,
            "mean": list(self.statistics.mean),
            "deviation": list(self.statistics.deviation),
            "classes": list(self.classes),
        }

    def setup(self, stage: str | None = None) -> None:
        """Load the training images, once."""
        if self.train is None:
            self.train = self.load(train=True)

    def train_images(self, trainer: pl.Trainer | None = None) -> Images:
        """The training images, moved for good to where a trainer, if given, trains on them."""
        assert self.train is not None, "setup comes first"
        self.train = self.train.near(trainer)
        return self.train

    def fingerprint(self) -> str:
        """A digest of the training images and their classes: another one means another data set."""
        images = self.train_images()
        digest = hashlib.sha256(repr((self.num_classes, list(images.labels))).encode())
        digest.update(
            images.pixels.cpu().numpy().tobytes() if isinstance(images.pixels, Tensor) else repr(images.pixels).encode()
        )
        return digest.hexdigest()

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches of augmented training images."""
        return self.training_batches(self.train_images(self.trainer))

    def test_dataloader(self) -> DataLoader:
        """All test images, in order."""
        return self.judging_batches(self.load(train=False).near(self.trainer))

    def training_batches(self, images: Images, indices: Sequence[int] | None = None) -> DataLoader:
        """Shuffled full batches of images, or of those at some indices, augmented as a function of seed and epoch."""
        dataset = images.transformed(self.augmentation(), indices)
        return training_loader(dataset, self.batch_size, self.workers_for(images), self.seed)

    def judging_batches(self, images: Images, indices: Sequence[int] | None = None) -> DataLoader:
        """All images, or those at some indices, in order, not augmented."""
        dataset = images.transformed(self.normalisation(), indices)
        return judging_loader(dataset, max(self.batch_size, 256), self.workers_for(images))

    def workers_for(self, images: Images) -> int:
        """How many processes make batches of images."""
        return self.workers if images.device.type == "cpu" else 0


class SearchData(pl.LightningDataModule):
    """The training images of a data set in two stratified parts: one for the weights, one for the architecture.

    There is no test loader: a search cannot see the test images.

    Args:
        data: The data set, set up.
        seed: Of the split.
        held_out: Share of the images that are the architecture's.
        by_turns: Whether steps train by images of both parts, or by those of the weights alone.
    """

    def __init__(self, data: ImageData, seed: int = 0, held_out: float = 0.5, by_turns: bool = True) -> None:
        super().__init__()
        self.data = data
        self.seed = seed
        self.by_turns = by_turns
        labels = data.train_images().labels
        self.weights_half, self.architecture_half = stratified_parts(labels, seed, held_out, data.classes)

    def train_dataloader(self) -> dict[str, DataLoader]:
        """{"weights": (images, labels), "architecture": (images, labels)}, both augmented, shuffled apart; the second
        only where steps train by it."""
        images = self.data.train_images(self.trainer)  # the trainer's own data module is this one
        loaders = {"weights": self.data.training_batches(images, self.weights_half)}
        if self.by_turns:
            loaders["architecture"] = self.data.training_batches(images, self.architecture_half)
        return loaders

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """As Lightning does it, which takes a tenth of a millisecond to find that on a CPU there is nothing to do."""
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def val_dataloader(self) -> DataLoader:
        """The architecture half, in order, not augmented."""
        return self.data.judging_batches(self.data.train_images(self.trainer), self.architecture_half)

    def probing_batches(self, count: int) -> DataLoader:
        """So many images of the architecture's part at most, drawn at random, not augmented, in batches of one size.

        In the order of files, which is often that of classes, a batch's statistics would be those of a few classes.
        """
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.architecture_half), generator=generator)[:count].tolist()
        batches = max(1, len(order) // max(self.data.batch_size, 256))
        size = len(order) // batches
        indices = [self.architecture_half[place] for place in order[: size * batches]]
        images = self.data.train_images(self.trainer)
        dataset = images.transformed(self.data.normalisation(), indices)
        return judging_loader(dataset, size, self.data.workers_for(images))


def stratified_parts(
    labels: Sequence[int], seed: int, share: float = 0.5, classes: Sequence[str] = ()
) -> tuple[list[int], list[int]]:
    """Indices of two parts with the same share of every class. TasError if a class has too few images.

    Args:
        labels: Of all images.
        seed: Of the split.
        share: Of the second part.
        classes: Their names, if they have any.
    """
    counts = np.bincount(np.asarray(labels))
    if len(labels) < 2 * len(counts) or (counts[counts > 0] < 2).any():
        fewest = int(np.where(counts > 0, counts, len(labels)).argmin())
        name = classes[fewest] if classes else str(fewest)
        raise TasError(
            "--data: a search splits the training images in two, so every class needs at least 2 of them; "
            f"class {name} has {counts[fewest]}"
        )
    second = max(math.ceil(share * len(labels)), len(counts))
    if share != 0.5 and len(labels) - second < len(counts):
        raise TasError(f"--held-out {share:g}: leaves fewer training images than the {len(counts)} classes")
    size = 0.5 if share == 0.5 else second
    part, other = train_test_split(range(len(labels)), test_size=size, stratify=labels, random_state=seed)
    return sorted(part), sorted(other)
