"""One process at a time on a comparison's directory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tas.errors import TasError

LOCK = ".lock"
"""The file in the directory that the process at work has locked; it stays, and says nothing by being there."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make a directory, and keep other processes that ask for this lock off it as long as the block takes.

    The system takes the lock back however the process ends.

    Raises:
        TasError: Another process has it, or the directory cannot be written or locked.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = open(directory / LOCK, "w", encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as error:
        raise TasError(f"--output {directory}: cannot be written ({error.strerror})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TasError(f"--output {directory}: another tas compare works on it; wait until it ends") from None
        except OSError as error:
            raise TasError(f"--output {directory}: cannot be locked ({error.strerror})") from None
        yield
