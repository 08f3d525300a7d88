"""Checks of options: one line that names the flag, what it is and what is allowed."""

from collections.abc import Sequence
from typing import Any

from tas.errors import TasError, did_you_mean


def flag(key: str) -> str:
    """The flag of an option."""
    return "--" + key.replace("_", "-")


def inside(key: str, value: object, holds: bool, allowed: str) -> None:
    """TasError, naming the flag, unless `holds`."""
    if not holds:
        raise TasError(f"{flag(key)} is {value}; allowed: {allowed}")


def at_least(least: float, **values: float) -> None:
    """TasError unless each value is `least` or more."""
    for key, value in values.items():
        inside(key, value, value >= least, f"{least} or more")


def above(bound: float, **values: float) -> None:
    """TasError unless each value is above `bound`."""
    for key, value in values.items():
        inside(key, value, value > bound, f"above {bound}")


def named(key: str, names: Sequence[str], known: Sequence[str], may_be_empty: bool = False) -> None:
    """TasError unless all names are known, and each is there once."""
    distinct(key, names, may_be_empty)
    for name in names:
        inside(key, name, name in known, ", ".join(known) + did_you_mean(name, known))


def distinct(key: str, values: Sequence[Any], may_be_empty: bool = False) -> None:
    """TasError unless each value is there once and, if need be, one at all."""
    allowed = "each value once" if may_be_empty else "one value or more, each once"
    given = ", ".join(map(str, values)) or "empty"
    inside(key, given, len(set(values)) == len(values) and (may_be_empty or bool(values)), allowed)
