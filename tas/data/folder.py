"""One's own images: a directory with train/ and test/ (or val/), in each a sub-folder per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tas.data.augmentation import RandomCrop, RandomFlip, Transform
from tas.data.class_folders import IMAGENET_STATISTICS, ClassFolders
from tas.data.image_files import ImageFiles, check_header, read_image
from tas.data.images import Pixels

IN_MEMORY = 4 * 2**30
"""Bytes of pixels up to which a folder is read once, at the start; a larger one is read anew in every epoch."""


class Folder(ClassFolders):
    """Images in class folders, all squares of one size or brought to one.

    Args:
        data_dir: As for every ClassFolders.
        resize: Height and width, in pixels, to which images are brought; None if all have one size already.
        loading: As for every ImageData.
    """

    def __init__(self, data_dir: str, resize: int | None, **loading: Any) -> None:
        super().__init__(data_dir, **loading)
        self.resize = resize

    def setup(self, stage: str | None = None) -> None:
        """Load the training images, and check the test images: their classes, and that their headers can be read."""
        super().setup(stage)
        test = self.part(train=False)
        for name in self.files(test)[0]:
            check_header(test / name, None if self.resize else self.image_size)

    def pixels(self, part: Path, names: Sequence[str]) -> Pixels:
        size = self.resize or read_image(part / names[0], None).shape[-1]
        self.image_size = size
        files = ImageFiles(part, names, size, resize=self.resize is not None)
        if len(files) * 3 * size**2 > IN_MEMORY:
            return files
        whole = torch.empty(len(files), 3, size, size, dtype=torch.uint8, memory_format=torch.channels_last)
        for index in range(len(files)):
            whole[index] = files[index]
        return whole

    def augmentation(self) -> Transform:
        return Transform(RandomFlip(), RandomCrop(padding=max(1, self.image_size // 8)), IMAGENET_STATISTICS)

    def normalisation(self) -> Transform:
        return Transform(IMAGENET_STATISTICS)
