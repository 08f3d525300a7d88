"""What the commands have in common."""

from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.config import CommonOptions
from tas.data import ImageData, open_data
from tas.errors import TasError

say = rank_zero_only(print)
"""print, once where several processes run the same command."""

LEAST_SIZE = 8
"""Pixels of height and width below which the networks' three resolutions make no sense."""


def data_of(options: CommonOptions, name: str, data_dir: str) -> ImageData:
    """The data set that the options ask for, its training images loaded."""
    data = open_data(
        name,
        data_dir,
        options.image_size,
        batch_size=options.batch_size,
        workers=options.workers,
        seed=options.seed,
    )
    if data.image_size < LEAST_SIZE:
        size = f"{data.image_size}x{data.image_size}"
        raise TasError(f"--data-dir {data_dir}: images of {size} pixels are too small; give --image-size 8 or more")
    return data
