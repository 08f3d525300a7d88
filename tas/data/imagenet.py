"""ImageNet, or photographs of any size in class folders like its own, with the augmentation of the paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchvision.transforms import v2

from tas.data.augmentation import RandomFlip, Transform
from tas.data.class_folders import ClassFolders
from tas.data.image_files import ImageFiles
from tas.data.images import Pixels
from tas.data.preparation import centre_of


class ImageNet(ClassFolders):
    """Photographs in class folders, read from their files in every epoch; a search or training opens none before,
    but for the headers where it is to skip what cannot be read.

    Args:
        data_dir: As for every ClassFolders.
        image_size: Height and width, in pixels, of what the network sees; None is 224.
        loading: As for every ImageData.
    """

    fit = "crop"
    test_parts = ("val", "test")  # the test images that ImageNet comes with have no classes

    def __init__(self, data_dir: str, image_size: int | None, **loading: Any) -> None:
        super().__init__(data_dir, **loading)
        self.image_size = image_size or 224

    def pixels(self, part: Path, names: Sequence[str]) -> Pixels:
        return ImageFiles(part, self.with_header(part, names, None) if self.skip else names)

    def check_test(self, part: Path, names: Sequence[str]) -> None:
        if self.skip:
            self.with_header(part, names, None)

    def augmentation(self) -> Transform:
        crop = v2.RandomResizedCrop(self.image_size, antialias=True)
        colours = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)
        return Transform(RandomFlip(), self.statistics, each=v2.Compose([crop, colours]))

    def normalisation(self) -> Transform:
        return Transform(self.statistics, each=centre_of(self.image_size))
