"""The data sets that TAS knows by name."""

from collections.abc import Callable
from typing import Any

from tas.data.cifar import Cifar10, Cifar100
from tas.data.digits import Digits
from tas.data.folder import Folder
from tas.data.imagenet import ImageNet
from tas.data.images import ImageData, SearchData
from tas.errors import TasError, nearest

__all__ = ["DATA", "ImageData", "SearchData", "open_data"]

DATA: dict[str, Callable[..., ImageData]] = {
    "digits": lambda data_dir, image_size, **loading: Digits(**loading),
    "cifar10": lambda data_dir, image_size, **loading: Cifar10(data_dir, **loading),
    "cifar100": lambda data_dir, image_size, **loading: Cifar100(data_dir, **loading),
    "folder": lambda data_dir, image_size, **loading: Folder(data_dir, image_size, **loading),
    "imagenet": lambda data_dir, image_size, **loading: ImageNet(data_dir, image_size, **loading),
}


def open_data(name: str, data_dir: str, image_size: int | None, **loading: Any) -> ImageData:
    """A data set by name, downloaded if need be, its training images loaded.

    Args:
        name: One of `DATA`.
        data_dir: Where it is, or is to be put.
        image_size: Pixels of height and width: for "folder", to which images are brought, None leaves them; for
            "imagenet", of the crops, None is 224.
        loading: As for every ImageData.
    """
    if name not in DATA:
        raise TasError(f"--data: unknown data set {name!r}{nearest(name, DATA)}; known: {', '.join(DATA)}")
    if image_size is not None and name not in ("folder", "imagenet"):
        raise TasError(f"--image-size goes with --data folder or imagenet; {name} has images of one size")
    data = DATA[name](data_dir, image_size, **loading)
    data.prepare_data()
    data.setup()
    return data
