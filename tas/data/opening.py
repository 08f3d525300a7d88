"""The data sets that TAS knows by name, opened as the options of a command say."""

from collections.abc import Callable
from typing import Any

from tas.architecture import Architecture
from tas.config.groups import Dataset, Machine, Recipe
from tas.data.cifar import Cifar10, Cifar100
from tas.data.digits import Digits
from tas.data.folder import Folder
from tas.data.imagenet import ImageNet
from tas.data.images import ImageData
from tas.errors import TasError, did_you_mean

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
        raise TasError(f"--data: unknown data set {name!r}{did_you_mean(name, DATA)}; known: {', '.join(DATA)}")
    if image_size is not None and name not in ("folder", "imagenet"):
        raise TasError(f"--image-size goes with --data folder or imagenet; {name} has images of one size")
    if loading.get("on_bad_image") == "skip" and name not in ("folder", "imagenet"):
        raise TasError(f"--on-bad-image skip goes with --data folder or imagenet; {name} has no image files")
    data = DATA[name](data_dir, image_size, **loading)
    data.prepare_data()
    data.setup()
    return data


LEAST_SIZE = 8
"""Pixels of height and width below which the networks' three resolutions make no sense."""


def open_dataset(dataset: Dataset, recipe: Recipe, machine: Machine, seed: int) -> ImageData:
    """The data set that the options ask for, its training images loaded.

    Raises:
        TasError: It cannot be had, or its images are too small.
    """
    data = open_data(
        str(dataset.data),
        str(dataset.data_dir),
        dataset.image_size,
        batch_size=recipe.batch_size,
        workers=machine.workers,
        seed=seed,
        train_images=dataset.train_images,
        on_bad_image=dataset.on_bad_image or "error",
    )
    if data.image_size < LEAST_SIZE:
        size = f"{data.image_size}x{data.image_size}"
        raise TasError(
            f"--data-dir {dataset.data_dir}: images of {size} pixels are too small; give --image-size 8 or more"
        )
    return data


def check_fit(what: str, architecture: Architecture, name: str, data: ImageData) -> None:
    """TasError unless a network takes the images of a data set and tells its classes apart."""
    for key, things in (("num_classes", "classes"), ("in_channels", "image channels")):
        has, needs = getattr(architecture, key), getattr(data, key)
        if has != needs:
            raise TasError(f"{what}: is for {has} {things}; --data {name} has {needs}")
