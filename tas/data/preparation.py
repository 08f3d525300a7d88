"""One image file as a network takes it: what judging makes of an image of its data set, from what a run says of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms import v2

from tas.data.augmentation import Normalise
from tas.data.image_files import read_image
from tas.errors import TasError

Fit = Literal["scale", "crop"]
"""How an image gets its size: scale, both sides are brought to it; or crop, the shorter side is brought to 256 / 224 of
it, and the centre is taken."""


def centre_of(size: int) -> v2.Compose:
    """From an image, (C, H, W) uint8, to the centre of it, (C, size, size), as ImageNet's are judged."""
    return v2.Compose([v2.Resize(round(size * 256 / 224), antialias=True), v2.CenterCrop(size)])


def image_for(file: Path, images: Mapping[str, Any]) -> Tensor:
    """An image file as bytes of the size that a network takes: (C, size, size) uint8.

    Args:
        file: Of any size.
        images: As `read_description` gives it.

    Raises:
        TasError: It cannot be read as an image, or the network takes neither grey nor colour images.
    """
    channels, size = images["channels"], images["size"]
    if channels not in (1, 3):
        raise TasError(f"the network takes images of {channels} channels; an image file has 1 or 3")
    image = read_image(file, size if images["fit"] == "scale" else None, "L" if channels == 1 else "RGB")
    return image if images["fit"] == "scale" else centre_of(size)(image)


def normalised(batch: Tensor, images: Mapping[str, Any]) -> Tensor:
    """(N, C, H, W) float32 from uint8, as a network takes it."""
    return Normalise(images["mean"], images["deviation"])(batch)


def batch_for(files: list[Path], images: Mapping[str, Any]) -> Tensor:
    """Image files as a network takes them, (N, C, size, size) float32. Arguments and errors as for `image_for`."""
    return normalised(torch.stack([image_for(file, images) for file in files]), images)
