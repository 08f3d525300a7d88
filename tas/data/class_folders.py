"""What data sets in class folders have in common: train/ and test/ (or val/), in each a sub-folder per class."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchvision.datasets.folder import IMG_EXTENSIONS

from tas.data.augmentation import Normalise
from tas.data.image_files import image_names
from tas.data.images import ImageData, Images, Pixels
from tas.errors import TasError

IMAGENET_STATISTICS = Normalise([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
"""By ImageNet's statistics: near those of most photographs, and those that pretrained weights expect."""


class ClassFolders(ImageData):
    """Images in class folders, as RGB.

    Args:
        data_dir: Holds train/<class>/ and test/<class>/ or val/<class>/.
        loading: As for every ImageData.
    """

    in_channels = 3
    test_parts: Sequence[str] = ("test", "val")
    """Names of the directory of the test images; the first that is there counts."""

    def __init__(self, data_dir: str, **loading: Any) -> None:
        super().__init__(**loading)
        self.root = Path(data_dir)

    @abstractmethod
    def pixels(self, part: Path, names: Sequence[str]) -> Pixels:
        """The images of a directory, given by their paths from there."""

    def setup(self, stage: str | None = None) -> None:
        """Load the training images, and check that there are test images of the same classes."""
        super().setup(stage)
        test = self.part(train=False)
        if class_names(test) != self.classes:
            odd = sorted(set(class_names(test)) ^ set(self.classes))
            raise TasError(f"--data-dir: {test} and {self.part(train=True)} differ in the classes {', '.join(odd)}")
        self.files(test)  # better missed now than after the training

    def part(self, train: bool) -> Path:
        """The directory of the training or the test images."""
        if not self.root.is_dir():
            raise TasError(f"--data-dir {self.root}: no such directory")
        names = ["train"] if train else self.test_parts
        found = [self.root / name for name in names if (self.root / name).is_dir()]
        if not found:
            raise TasError(
                f"--data-dir {self.root}: holds no {' or '.join(f'{name}/' for name in names)}; "
                "expected are train/ and test/ (or val/), in each a sub-folder per class"
            )
        return found[0]

    def files(self, part: Path) -> tuple[list[str], list[int]]:
        """All images below a directory, by their paths from there, and their classes. TasError if a class has none."""
        files: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(class_names(part)):
            found = image_names(part, name)
            if not found:
                raise TasError(f"--data-dir: class folder {part / name} holds no images ({', '.join(IMG_EXTENSIONS)})")
            files += found
            labels += [label] * len(found)
        return files, labels

    def load(self, train: bool) -> Images:
        part = self.part(train)
        if train:
            self.classes = class_names(part)
            self.num_classes = len(self.classes)
        files, labels = self.files(part)
        used = self.used(labels, train)
        return Images(self.pixels(part, [files[index] for index in used]), [labels[index] for index in used])


def class_names(part: Path) -> list[str]:
    """The class folders of a directory, in alphabetical order. TasError if there are fewer than two."""
    names = sorted(path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise TasError(f"--data-dir: {part} holds {len(names)} class folders; at least 2 are needed")
    return names
