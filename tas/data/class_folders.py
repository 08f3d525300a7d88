"""What data sets in class folders have in common: train/ and test/ (or val/), in each a sub-folder per class."""

import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.rank_zero import rank_zero_only
from torchvision.datasets.folder import IMG_EXTENSIONS

from tas.data.augmentation import Normalise
from tas.data.image_files import check_header, image_names, why_unreadable
from tas.data.images import ImageData, Images, Pixels
from tas.errors import TasError, printable

IMAGENET_STATISTICS = Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""By ImageNet's statistics: near those of most photographs, and those that most pretrained weights expect."""

NAMED = 10
"""Images that cannot be read of which a message has the names; of more it says how many."""


class ClassFolders(ImageData):
    """Images in class folders, as RGB.

    After `setup`, `skipped` has the paths from the directory of those images that were left out.

    Args:
        data_dir: Holds train/<class>/ and test/<class>/ or val/<class>/.
        loading: As for every ImageData.
    """

    in_channels = 3
    statistics = IMAGENET_STATISTICS
    test_parts: Sequence[str] = ("test", "val")
    """Names of the directory of the test images; the first that is there counts."""

    def __init__(self, data_dir: str, **loading: Any) -> None:
        super().__init__(**loading)
        self.root = Path(data_dir)
        self.bad: dict[str, str] = {}
        """Path from the root of each image that is known not to be readable -> why it is not."""
        self.skipped: list[str] = []

    @abstractmethod
    def pixels(self, part: Path, names: Sequence[str]) -> Pixels:
        """The images of a directory, given by their paths from there, but for those found `bad`, which it notes."""

    @abstractmethod
    def check_test(self, part: Path, names: Sequence[str]) -> None:
        """What is to be known of the test images before a training, bad ones included, which it notes."""

    def setup(self, stage: str | None = None) -> None:
        """Load the training images, once, and check that there are test images of the same classes."""
        if self.train is not None:
            return
        super().setup(stage)
        test = self.part(train=False)
        if class_names(test) != self.classes:
            odd = sorted(set(class_names(test)) ^ set(self.classes))
            raise TasError(f"--data-dir: {test} and {self.part(train=True)} differ in the classes {', '.join(odd)}")
        self.check_test(test, self.files(test)[0])  # better missed now than after the training
        self.settle_bad()

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
        """All images below a directory, by their paths from there, and their classes; where bad ones are skipped, all
        others. TasError if a class has none."""
        files: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(class_names(part)):
            found = image_names(part, name)
            if not found:
                others = sorted({path.suffix for path in (part / name).rglob("*.?*") if path.is_file()} - {""})
                instead = f", only {', '.join(others[:4])}" if others else ""
                raise TasError(
                    f"--data-dir: class folder {part / name} holds no images ({', '.join(IMG_EXTENSIONS)}){instead}"
                )
            if self.skip:
                count = len(found)
                found = [file for file in found if self.key(part, file) not in self.bad]
                if not found:
                    raise TasError(
                        f"--data-dir: class folder {part / name} holds no images without those that cannot be read, "
                        f"which --on-bad-image skip leaves out: all {count}"
                    )
            files += found
            labels += [label] * len(found)
        return files, labels

    def key(self, part: Path, name: str) -> str:
        """An image's path from the root."""
        return f"{part.name}/{name}"

    @contextmanager
    def noting(self, part: Path, name: str) -> Iterator[None]:
        """Go on where an image turns out not to be readable, and note why it is not."""
        try:
            yield
        except TasError as error:
            why = why_unreadable(error, part / name)
            if why is None:
                raise
            self.bad[self.key(part, name)] = why

    def with_header(self, part: Path, names: Sequence[str], needed: int | None) -> list[str]:
        """Those images of which the header can be read; the others are noted. TasError where one of them is not of the
        size needed."""
        found = []
        for name in names:
            with self.noting(part, name):
                check_header(part / name, needed)
                found.append(name)
        return found

    def settle_bad(self) -> None:
        """What is to be done about the bad images noted since this was last called: a TasError names them all, or they
        are said to be skipped. TasError where that leaves a class without images."""
        new = list(self.bad)[len(self.skipped) :]
        if not new:
            return
        named = ", ".join(f"{printable(name)} ({self.bad[name]})" for name in new[:NAMED])
        more = f", and {len(new) - NAMED} more" if len(new) > NAMED else ""
        images = f"--data-dir {self.root}: {len(new)} image{'s' if len(new) > 1 else ''} cannot be read"
        if not self.skip:
            raise TasError(f"{images}: {named}{more}; --on-bad-image skip leaves them out")
        for train in (True, False):
            self.files(self.part(train))
        self.skipped += new
        warn_of_images(f"{images}, left out: {named}{more}")

    def load(self, train: bool) -> Images:
        part = self.part(train)
        if train:
            self.classes = class_names(part)
            self.num_classes = len(self.classes)
        files, labels = self.files(part)
        used, known = self.used(labels, train), len(self.bad)
        pixels = self.pixels(part, [files[index] for index in used])
        if train and self.skip and self.most is not None and len(self.bad) > known:
            return self.load(train)  # others of their classes take the places of the bad ones
        if not train:
            self.settle_bad()  # `setup` does so for the training images, when the test images are checked as well
        return Images(pixels, [labels[index] for index in used if self.key(part, files[index]) not in self.bad])


@rank_zero_only
def warn_of_images(text: str) -> None:
    """Say which images are not what they seem, once where several processes read them."""
    print(f"tas: warning: {text}", file=sys.stderr)


def class_names(part: Path) -> list[str]:
    """The class folders of a directory, in alphabetical order. TasError if there are fewer than two."""
    names = sorted(path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise TasError(f"--data-dir: {part} holds {len(names)} class folders; at least 2 are needed")
    for name in names:
        if any("\ud800" <= letter <= "\udfff" for letter in name):  # how Python has bytes that are no text
            raise TasError(f"--data-dir: class folder {printable(str(part / name))} has a name that is not UTF-8")
    return names
