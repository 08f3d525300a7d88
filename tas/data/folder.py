"""One's own images: a directory with train/ and test/ (or val/), in each a sub-folder per class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transforms

from tas.data.images import ImageData, Images, Transform
from tas.errors import TasError

IN_MEMORY = 4 * 2**30
"""Bytes of pixels up to which a folder is read once, at the start; a larger one is read anew in every epoch."""


class Folder(ImageData):
    """Images in class folders, as RGB.

    Args:
        data_dir: Holds train/<class>/ and test/<class>/ or val/<class>/.
        resize: Height and width, in pixels, to which images are brought; None if all have one size already.
        batch_size, workers, seed: As for every ImageData.
    """

    in_channels = 3

    def __init__(self, data_dir: str, resize: int | None, batch_size: int, workers: int = 0, seed: int = 0) -> None:
        super().__init__(batch_size, workers, seed)
        self.root = Path(data_dir)
        self.resize = resize

    def setup(self, stage: str | None = None) -> None:
        """Load the training images, and check that there are test images of the same classes."""
        super().setup(stage)
        test = self.part(train=False)
        if class_names(test) != self.classes:
            odd = sorted(set(class_names(test)) ^ set(self.classes))
            raise TasError(f"--data-dir: {test} and {self.part(train=True)} differ in the classes {', '.join(odd)}")
        # Better missed or found unreadable now than after the training.
        for path in self.files(test)[0]:
            check_header(path, None if self.resize else self.image_size)

    def part(self, train: bool) -> Path:
        """The directory of the training or the test images."""
        if not self.root.is_dir():
            raise TasError(f"--data-dir {self.root}: no such directory")
        names = ["train"] if train else ["test", "val"]
        found = [self.root / name for name in names if (self.root / name).is_dir()]
        if not found:
            raise TasError(
                f"--data-dir {self.root}: holds no {' or '.join(f'{name}/' for name in names)}; "
                "expected are train/ and test/ (or val/), in each a sub-folder per class"
            )
        return found[0]

    def files(self, part: Path) -> tuple[list[Path], list[int]]:
        """All images below a directory and their classes. TasError if a class has none."""
        files: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(class_names(part)):
            found = sorted(path for path in (part / name).rglob("*") if is_image(path))
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
        size = self.resize or read_image(files[0], None).shape[-1]
        self.image_size = size
        pixels = ImageFiles(files, size, resize=self.resize is not None)
        if len(files) * 3 * size**2 > IN_MEMORY:
            return Images(pixels, labels)
        whole = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
        for index in range(len(files)):
            whole[index] = pixels[index]
        return Images(whole, labels)

    def augmentation(self) -> Transform:
        crop = v2.RandomCrop(self.image_size, padding=max(1, self.image_size // 8))
        return v2.Compose([v2.RandomHorizontalFlip(), crop, self.normalisation()])

    def normalisation(self) -> Transform:
        # ImageNet's statistics: near those of most photographs, and those that pretrained weights expect.
        normalise = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        return v2.Compose([v2.ToDtype(torch.float32, scale=True), normalise])


class ImageFiles:
    """Images by index, read from their files."""

    def __init__(self, files: Sequence[Path], size: int, resize: bool) -> None:
        self.files = files
        self.size = size
        self.resize = resize

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        image = read_image(self.files[index], self.size if self.resize else None)
        check_size(self.files[index], (image.shape[2], image.shape[1]), self.size)
        return image

    def __repr__(self) -> str:
        """What changes when a file is added, taken away or replaced."""
        return repr([(str(path), path.stat().st_size) for path in self.files] + [self.size])


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name; macOS leaves hidden companions of every file."""
    return path.suffix.lower() in IMG_EXTENSIONS and not path.name.startswith(".")


def check_size(path: Path, size: tuple[int, int], needed: int) -> None:
    """TasError unless an image of (width, height) pixels is a square of the size needed."""
    if size != (needed, needed):
        raise TasError(
            f"{path} is {size[0]}x{size[1]} pixels, not {needed}x{needed}; "
            "without --image-size all images must be squares of one size"
        )


def check_header(path: Path, needed: int | None) -> None:
    """TasError if a file is no image or, with a size needed, not of that size; its pixels are not decoded."""
    with reading(path), Image.open(path) as image:
        size = image.size
        image.verify()
    if needed is not None:
        check_size(path, size, needed)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into a TasError that names the file."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TasError(f"{path}: not a readable image ({' '.join(str(error).split())})") from None


def read_image(path: Path, size: int | None) -> Tensor:
    """An image file as RGB, (3, H, W) uint8, scaled to size x size if given. TasError if it cannot be read."""
    with reading(path), Image.open(path) as image:
        if image.mode == "F":
            raise ValueError("floating-point pixels, whose range is not known")
        if image.mode.startswith("I"):
            # 16 bits a pixel, which `convert` would clip at 255 instead of scaling.
            rgb = Image.fromarray((np.asarray(image) / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
        else:
            rgb = ImageOps.exif_transpose(image).convert("RGB")
    if size is not None and rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return transforms.pil_to_tensor(rgb)


def class_names(part: Path) -> list[str]:
    """The class folders of a directory, in alphabetical order. TasError if there are fewer than two."""
    names = sorted(path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise TasError(f"--data-dir: {part} holds {len(names)} class folders; at least 2 are needed")
    return names
