"""What `torch.save` wrote: tensors and plain values, read without running anything that the file names."""

import mmap
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

BYTEARRAY = b"\nbytearray\n"
"""How a pickle that torch reads asks for one."""


def read_torch(path: str | os.PathLike[str]) -> Any:
    """The content of a file, on the CPU: by torch's reader that makes nothing but tensors and plain values.

    Raises:
        Exception: It is no such file, or names code that would make something else; torch raises what it likes.
    """
    check_extent_of(Path(path))
    with warnings.catch_warnings():  # of what the file is like, before it is refused for it
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def check_extent_of(path: Path) -> None:
    """ValueError where a file is none, so that one would read without end, or can become much more than it is.

    Such are compressed files, which `torch.save` does not write, and those that ask for a bytearray of a length: the
    one value that torch makes of a number.
    """
    if not path.is_file():
        raise ValueError("no such file" if not path.exists() else "not a file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
        whole = sum(item.file_size for item in items)
        if whole > path.stat().st_size or any(item.compress_type != zipfile.ZIP_STORED for item in items):
            raise ValueError(f"compressed, of {whole:,} bytes; torch.save does not compress")
    if path.stat().st_size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(BYTEARRAY) >= 0:
                raise ValueError("it has a bytearray, whose length is not known")
