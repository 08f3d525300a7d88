"""Functions of one's own, named package.module:function: networks, losses, methods of pruning."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tas.errors import TasError, explained


def is_own(name: str) -> bool:
    """Whether a name is that of a function of the user's own."""
    return ":" in name


def import_function(name: str, kind: str = "function") -> Callable[..., Any]:
    """The function of a name. TasError if it cannot be imported, or is none.

    Args:
        name: package.module:function; the working directory is looked into, too.
        kind: What it must be, for the message.
    """
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the installed command does not look in the working directory by itself
    try:
        function = getattr(import_module(module), attribute)
    except Exception as error:  # importing runs the user's code
        raise TasError(f"{name} cannot be imported ({explained(error)})") from None
    if not callable(function):
        raise TasError(f"{name} is a {type(function).__name__}; it must be a {kind}")
    return function
