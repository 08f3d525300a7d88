"""Files that are written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tas.errors import TasError, gist


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """TasError, naming the file, where the block cannot write it: on a full disk, for example."""
    try:
        yield
    except OSError as error:
        raise TasError(f"{path}: cannot be written ({error.strerror or gist(error)})") from None


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A draft beside a file, which takes its place at the end; where something fails, the file stays as it is.

    The draft is on the disk before it takes the place: after a power loss the file is the old one or the new one.

    Raises:
        TasError: It cannot be written.
    """
    draft = path.with_name(path.name + ".part")
    with writing(path):
        try:
            yield draft
            synced(draft)
            os.replace(draft, path)
            synced(path.parent)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def directory_whole(path: Path) -> Iterator[Path]:
    """A draft of a directory that is there with all its files or not at all; what an earlier try left is taken away.

    Raises:
        TasError: It cannot be written.
    """
    draft = path.with_name(path.name + ".part")
    with writing(path):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
            if path.exists():
                path.rmdir()  # empty, or it would have been refused
            os.replace(draft, path)
            synced(path.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def synced(path: Path) -> None:
    """Have the system put a file, or what a directory lists, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. TasError if it cannot be written."""
    with written_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
