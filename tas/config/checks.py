"""Checks of options: one line that names the flag, what it is and what is allowed."""

from tas.errors import TasError


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


def check_start(pretrained: bool, weights: str | None, init: str | None) -> None:
    """TasError unless the ways to start from trained weights go together."""
    if pretrained and weights is not None:
        raise TasError("--pretrained and --weights exclude each other; give one")
    if init == "teacher" and not pretrained and weights is None:
        raise TasError("--init teacher needs trained weights: give --pretrained or --weights")
