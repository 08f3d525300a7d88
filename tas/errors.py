"""How a command ends other than well: by bad input, which is the user's to mend, off its target, or by a signal."""

import difflib
import math
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import SupportsFloat
from unicodedata import category


class TasError(ValueError):
    """Bad input: the message is one line that names the flag, key or file, and says what is allowed.

    The commands print it to stderr and end with status 2; in Python it is an ordinary ValueError.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """', did you mean ...?' where a known name is close to what was typed; else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def gist(error: BaseException, length: int = 160) -> str:
    """What an exception says, as the start of one line: no line breaks, at most `length` characters."""
    return " ".join(str(error).split())[:length]


def innermost(error: BaseException) -> BaseException:
    """The exception that others were raised from, one after the other."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def shown(value: object) -> str:
    """A value as Python writes it, the start of it where it is long."""
    whole = repr(value)
    return whole if len(whole) <= 80 else f"{whole[:80]}..."


def printable(text: str) -> str:
    """A text of any script in one line: line breaks, what steers a terminal, and bytes that are no text, as Python
    escapes them."""
    steering = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories of controls, surrogates and separators
    return "".join(one.encode("unicode_escape").decode() if category(one) in steering else one for one in text)


def explained(error: BaseException) -> str:
    """An exception in one line: its type, and what it says."""
    return f"{type(error).__name__}: {gist(error)}"


@contextmanager
def blame(source: str) -> Iterator[None]:
    """Put the flag or file that is to blame in front of the TasErrors that arise inside."""
    try:
        yield
    except TasError as error:
        raise TasError(f"{source}: {error}") from None


def check_finite(loss: SupportsFloat, flags: str) -> None:
    """TasError, naming the flags to lower, if a loss is infinite or no number."""
    if not math.isfinite(loss):
        raise TasError(f"{flags}: the loss is {float(loss)}; a lower value may help")


class TargetMissedError(Exception):
    """A run that ended as it should, but for its network, which is not inside the budget: the nearest one it found.

    The message is one line that says what was reached; the commands print it to stderr and end with status 3.
    """


class FinishedBeforeError(Exception):
    """A scheduler starts a command again that had come to its end; the commands say so and end with status 0."""


class Interrupted(KeyboardInterrupt):
    """A signal that ends a command.

    Args:
        message: What was kept and how to go on.
        number: That of the signal; the command ends with status 128 + number.
    """

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = int(number)
