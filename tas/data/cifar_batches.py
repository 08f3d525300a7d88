"""The files of the CIFARs, which are pickles: read by what can make arrays and nothing else."""

import pickle
from pathlib import Path
from typing import Any

ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
"""Module and name of what a pickle asks for that has an array, written by whichever version of Python and numpy."""


class ArrayUnpickler(pickle.Unpickler):
    """Makes of a pickle lists, dicts, text and arrays. UnpicklingError where it asks for anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """What makes a part of an array."""
        if (module, name) not in ARRAYS:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which no array needs")
        return super().find_class(module, name)


def read_batch(file: Path) -> dict[str, Any]:
    """What a file holds. UnpicklingError if it asks for code; at a damaged file pickle raises what it likes."""
    with file.open("rb") as content:
        found: dict[str, Any] = ArrayUnpickler(content, encoding="latin1").load()
    return found
