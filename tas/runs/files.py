"""Files that are written whole or not at all."""

import os
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

    Raises:
        TasError: It cannot be written.
    """
    draft = path.with_name(path.name + ".part")
    with writing(path):
        try:
            yield draft
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. TasError if it cannot be written."""
    with written_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
