"""Text from a file, of which no more is read than it may hold."""

import os
from pathlib import Path

from tas.errors import TasError


def read_text(path: str | os.PathLike[str], largest: int, blamed: str | None = None) -> str:
    """The text of a file.

    Args:
        path: The file.
        largest: Bytes that it may hold.
        blamed: What errors begin with; by default the file's name.

    Raises:
        TasError: It cannot be read, or is larger.
        UnicodeDecodeError: It is no text in UTF-8.
    """
    blamed = blamed or str(path)
    try:
        if waits(Path(path)):
            raise TasError(f"{blamed}: cannot be read (a pipe, not a file)")
        with open(path, "rb") as file:
            content = file.read(largest + 1)  # of a device, which has no size, no more
    except OSError as error:
        raise TasError(f"{blamed}: cannot be read ({error.strerror})") from None
    if len(content) > largest:
        raise TasError(f"{blamed}: cannot be read (more than the {largest:,} bytes that such a file may have)")
    return content.decode()


def waits(path: Path) -> bool:
    """Whether a file is a named pipe, which one would wait for without end. A shell's `<(...)`, which somebody writes
    to, is none."""
    return path.is_fifo() and not str(path).startswith("/dev/")
