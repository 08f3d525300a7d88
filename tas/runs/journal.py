"""A long list done item by item, each kept when it is done: an interrupted run goes on after the last one."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.errors import TasError
from tas.inputs.json_text import read_json
from tas.inputs.schema import made_of_json
from tas.runs.files import write_text

Entry = TypeVar("Entry")

LARGEST_JOURNAL = 32 * 2**20
"""Bytes of the file: thousands of networks, each with all its widths."""


class Journal(Generic[Entry]):
    """The entries of a list, in a JSON file that is always whole.

    Args:
        path: The file; entries that it holds are taken over.
        kind: The dataclass of an entry.

    Raises:
        TasError: The file is there and damaged.
    """

    def __init__(self, path: Path, kind: type[Entry]) -> None:
        self.path = path
        self.entries: list[Entry] = []
        if path.is_file():
            try:
                rows = read_json(path, LARGEST_JOURNAL)
                if not isinstance(rows, list):
                    raise ValueError("not a list")
                self.entries = [made_of_json(kind, row) for row in rows]
            except ValueError:  # a TasError is one, too
                raise TasError(f"{path}: damaged; delete it to do all that it lists anew") from None

    def up_to(self, count: int, make: Callable[[int], Entry]) -> list[Entry]:
        """The first `count` entries; those that are missing are made, by their numbers from 0, and kept one by one."""
        for number in range(len(self.entries), count):
            self.entries.append(make(number))
            self.write()
        return self.entries[:count]

    @rank_zero_only
    def write(self) -> None:
        """Keep the entries."""
        rows: list[Any] = [asdict(entry) for entry in self.entries]  # type: ignore[call-overload]  # a dataclass
        write_text(self.path, json.dumps(rows, indent=1) + "\n")
