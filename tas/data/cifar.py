"""CIFAR-10 and CIFAR-100 through torchvision, with the paper's augmentation."""

import shutil
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from tas.data.augmentation import Normalise, RandomCrop, RandomFlip, Transform
from tas.data.cifar_batches import read_batch
from tas.data.images import ImageData, Images
from tas.errors import TasError, gist


class Cifar10(ImageData):
    """50,000 training and 10,000 test images of 32x32 pixels in 10 classes, downloaded when absent.

    Args:
        data_dir: Where the data set is, or is to be put.
        loading: As for every ImageData.
    """

    dataset: type[CIFAR10] = CIFAR10
    num_classes = 10
    in_channels = 3
    image_size = 32
    statistics = Normalise((0.4914, 0.4824, 0.4467), (0.2471, 0.2435, 0.2616))

    def __init__(self, data_dir: str, **loading: Any) -> None:
        super().__init__(**loading)
        self.data_dir = data_dir

    def prepare_data(self) -> None:
        """Download the data set unless it is there."""
        path = Path(self.data_dir).absolute()
        missing = [place for place in (path, *path.parents) if not place.exists()]
        if self.whole():
            return
        kind = self.dataset
        try:
            download_and_extract_archive(kind.url, self.data_dir, filename=kind.filename, md5=kind.tgz_md5)
            if not self.whole():
                raise RuntimeError("its files are not the data set's")
        except (URLError, OSError, RuntimeError) as error:
            if missing:
                shutil.rmtree(missing[-1], ignore_errors=True)  # torchvision makes directories before it tries
            archive = self.dataset.filename
            raise TasError(
                f"--data-dir {self.data_dir}: holds no {self.dataset.__name__}, and the download failed "
                f"({gist(error)}); put {archive} there"
            ) from None

    def load(self, train: bool) -> Images:
        files = self.dataset.train_list if train else self.dataset.test_list
        batches = []
        for name, _ in files:
            try:
                batches.append(read_batch(self.home / name))
            except Exception as error:  # pickle raises what it likes
                kind = self.dataset.__name__
                raise TasError(f"{self.home / name}: not a file of {kind} ({gist(error)})") from None
        labels = [label for batch in batches for label in batch["labels" if "labels" in batch else "fine_labels"]]
        used = self.used(labels, train)
        pixels = np.concatenate([batch["data"] for batch in batches])[used].reshape(-1, 3, 32, 32)
        return Images(torch.from_numpy(pixels), [labels[index] for index in used])

    @property
    def home(self) -> Path:
        """The directory of the files."""
        return Path(self.data_dir, self.dataset.base_folder)

    def whole(self) -> bool:
        """Whether all files are there, and those of the data set by their digests."""
        files = self.dataset.train_list + self.dataset.test_list
        return all(check_integrity(self.home / name, digest) for name, digest in files)

    def augmentation(self) -> Transform:
        return Transform(RandomFlip(), RandomCrop(padding=4), self.statistics)

    def normalisation(self) -> Transform:
        return Transform(self.statistics)


class Cifar100(Cifar10):
    """The same in 100 classes."""

    dataset = CIFAR100
    num_classes = 100
    statistics = Normalise((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
