"""JSON from files, within limits."""

import json
import os
from collections.abc import Iterable
from typing import Any

from tas.errors import TasError, gist
from tas.inputs.extent import check_extent
from tas.inputs.text import read_text

LARGEST_JSON = 4 * 2**20
"""Bytes of a file of JSON, unless it holds a long list. Brackets alone, which take most, become 25 times as many."""


def read_json(path: str | os.PathLike[str], largest: int = LARGEST_JSON) -> Any:
    """The value that a file holds. TasError, naming the file, if it cannot be read, is no JSON, or is too much of it.

    Args:
        path: The file.
        largest: Bytes that it may hold.
    """
    try:
        value = json.loads(read_text(path, largest))
        check_extent(value, parts_of_value, largest)
    except TasError:
        raise
    except RecursionError:
        raise TasError(f"{path}: not a whole JSON file (nested too deep)") from None
    except ValueError as error:
        raise TasError(f"{path}: not a whole JSON file ({gist(error)})") from None
    return value


def parts_of_value(value: Any) -> Iterable[Any]:
    """The values that lie in one of JSON."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
