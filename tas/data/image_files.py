"""Image files: found by name, checked, read as RGB."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.v2 import functional as transforms

from tas.errors import TasError, gist, printable

READABLE = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What an image may be, whatever its name says: Pillow tells by the content, and would hand one in PostScript to
Ghostscript, which runs what it says. An older Pillow lacks some of them."""


class ImageFiles:
    """Images by index, each (3, H, W) uint8, read from its file when asked for.

    Args:
        root: The directory that they are in.
        names: Their paths from there.
        size: Height and width, in pixels, that all have or are brought to; None takes them as they are.
        resize: Whether they are brought to it, rather than refused if they are not of that size.
    """

    def __init__(self, root: Path, names: Sequence[str], size: int | None = None, resize: bool = False) -> None:
        self.root = root
        # An array, because workers share its memory; of a list, whose reference counts they write to, each would come
        # to hold a copy.
        self.names = np.asarray(names)
        self.size = size
        self.resize = resize

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor:
        path = self.root / str(self.names[index])
        image = read_image(path, self.size if self.resize else None)
        if self.size is not None:
            check_size(path, (image.shape[2], image.shape[1]), self.size)
        return image

    def __repr__(self) -> str:
        """What changes when a file is added, taken away or replaced."""
        sizes = ((str(name), os.path.getsize(self.root / str(name))) for name in self.names)
        return f"{self.size} {list(sizes)}"


def image_names(root: Path, folder: str) -> list[str]:
    """The image files, by name alone, at any depth below a folder of a directory: their paths from the directory, in
    alphabetical order."""
    found = []
    for place, folders, names in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]  # Jupyter leaves copies in such ones
        below = os.path.relpath(place, root)
        found += [os.path.join(below, name) for name in names if is_image(name)]
    return sorted(found)


def is_image(name: str) -> bool:
    """Whether a file is an image by its name; macOS leaves hidden companions of every file."""
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")


def check_size(path: Path, size: tuple[int, int], needed: int) -> None:
    """TasError unless an image of (width, height) pixels is a square of the size needed."""
    if size != (needed, needed):
        raise TasError(
            f"{printable(str(path))} is {size[0]}x{size[1]} pixels, not {needed}x{needed}; "
            "without --image-size all images must be squares of one size"
        )


def check_header(path: Path, needed: int | None) -> None:
    """TasError if a file is no image or, with a size needed, not of that size; its pixels are not decoded."""
    with reading(path), opened(path) as image:
        check_pages(image)
        size = image.size
        image.verify()
    if needed is not None:
        check_size(path, size, needed)


def check_pages(image: Image.Image) -> None:
    """ValueError where a TIFF has several pages: of a multi-spectral image each is a channel, and no network would see
    any but the first."""
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1  # of others they have to be read
    if pages > 1:
        raise ValueError(f"a TIFF of {pages} pages; images have one, and become RGB")


def opened(path: Path) -> Image.Image:
    """An image file, of which the header is read; Pillow refuses it where it says that it has hundreds of millions of
    pixels. ValueError if it is no file: one would wait for a pipe, and read a device, without end."""
    if path.exists() and not path.is_file():
        raise ValueError("no file")
    Image.init()
    return Image.open(path, formats=[name for name in READABLE if name in Image.OPEN])


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into a TasError that names the file; what it warns of is no matter to an image that can
    be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # at damaged files its readers raise whatever there is
        raise TasError(f"{printable(str(path))}: not a readable image ({gist(error)})") from None


def why_unreadable(error: TasError, path: Path) -> str | None:
    """What Pillow said, without the file's name, where an error is `reading`'s; None of any other.

    Errors of a class of their own would need no such question, but the line that a worker process sends begins with the
    name of the class.
    """
    said = error.__context__
    if said is None:
        return None
    return gist(Exception(str(said).replace(repr(str(path)), "").strip(" :") or type(said).__name__), length=80)


def read_image(path: Path, size: int | None, mode: str = "RGB") -> Tensor:
    """An image file as RGB, (3, H, W) uint8, or in another mode of Pillow's, scaled to size x size if given.

    Raises:
        TasError: It cannot be read.
    """
    with reading(path), opened(path) as image:
        check_pages(image)
        if image.mode == "F":
            raise ValueError("floating-point pixels, whose range is not known")
        if image.mode.startswith("I"):
            # 16 bits a pixel, which `convert` would clip at 255 instead of scaling.
            read = Image.fromarray((np.asarray(image) / 257).clip(0, 255).astype(np.uint8)).convert(mode)
        else:
            read = ImageOps.exif_transpose(image).convert(mode)
    if size is not None and read.size != (size, size):
        read = read.resize((size, size), Image.Resampling.BILINEAR)
    return transforms.pil_to_tensor(read)
