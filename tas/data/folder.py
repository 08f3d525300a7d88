"""One's own images: a directory with train/ and test/ (or val/), in each a sub-folder per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tas.data.augmentation import RandomCrop, RandomFlip, Transform
from tas.data.class_folders import ClassFolders
from tas.data.image_files import ImageFiles, read_image
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

    def check_test(self, part: Path, names: Sequence[str]) -> None:
        self.with_header(part, names, self.needed)

    @property
    def needed(self) -> int | None:
        """The size that images must have; None if any will do, or if none could be read that says it."""
        return None if self.resize else self.image_size or None

    def pixels(self, part: Path, names: Sequence[str]) -> Pixels:
        size = self.image_size = self.resize or self.first_size(part, names)
        if len(names) * 3 * size**2 > IN_MEMORY:
            return ImageFiles(part, self.with_header(part, names, self.needed), size, resize=self.resize is not None)
        files = ImageFiles(part, names, size, resize=self.resize is not None)
        whole = torch.empty(len(files), 3, size, size, dtype=torch.uint8, memory_format=torch.channels_last)
        read = 0
        for index, name in enumerate(names):
            with self.noting(part, name):
                whole[read] = files[index]
                read += 1
        return whole[:read]

    def first_size(self, part: Path, names: Sequence[str]) -> int:
        """The width, in pixels, of the first image that can be read; 0 if none can."""
        for name in names:
            with self.noting(part, name):
                return read_image(part / name, None).shape[-1]
        return 0

    def augmentation(self) -> Transform:
        return Transform(RandomFlip(), RandomCrop(padding=max(1, self.image_size // 8)), self.statistics)

    def normalisation(self) -> Transform:
        return Transform(self.statistics)
