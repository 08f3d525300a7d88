"""CIFAR-10 and CIFAR-100 through torchvision, with the paper's augmentation."""

import shutil
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torchvision.datasets import CIFAR10, CIFAR100

from tas.data.augmentation import Normalise, RandomCrop, RandomFlip, Transform
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
        try:
            self.dataset(self.data_dir, download=True)
        except (URLError, OSError, RuntimeError) as error:
            if missing:
                shutil.rmtree(missing[-1], ignore_errors=True)  # torchvision makes directories before it tries
            archive = self.dataset.filename
            raise TasError(
                f"--data-dir {self.data_dir}: holds no {self.dataset.__name__}, and the download failed "
                f"({gist(error)}); put {archive} there"
            ) from None

    def load(self, train: bool) -> Images:
        dataset = self.dataset(self.data_dir, train=train)
        used = self.used(dataset.targets, train)
        pixels = torch.from_numpy(dataset.data[used]).permute(0, 3, 1, 2)
        return Images(pixels, [dataset.targets[index] for index in used])

    def augmentation(self) -> Transform:
        return Transform(RandomFlip(), RandomCrop(padding=4), self.statistics)

    def normalisation(self) -> Transform:
        return Transform(self.statistics)


class Cifar100(Cifar10):
    """The same in 100 classes."""

    dataset = CIFAR100
    num_classes = 100
    statistics = Normalise((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
