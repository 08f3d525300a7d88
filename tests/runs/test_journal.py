from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tas.errors import TasError
from tas.runs.journal import Journal


@dataclass(frozen=True)
class Entry:
    number: int
    words: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries.json"


def counted(made: list[int], end: int = 99) -> Callable[[int], Entry]:
    """What makes entries, tells which, and is interrupted at one of them."""

    def make(number: int) -> Entry:
        if number == end:
            raise KeyboardInterrupt
        made.append(number)
        return Entry(number, f"entry {number}")

    return make


def test_all_entries_are_made_once(path: Path) -> None:
    made: list[int] = []
    expected = [Entry(number, f"entry {number}") for number in range(3)]
    assert Journal(path, Entry).up_to(3, counted(made)) == expected
    assert Journal(path, Entry).up_to(3, counted(made)) == expected
    assert made == [0, 1, 2]


def test_an_interrupted_list_goes_on_after_its_last_entry(path: Path) -> None:
    made: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        Journal(path, Entry).up_to(4, counted(made, end=2))
    assert [entry.number for entry in Journal(path, Entry).entries] == [0, 1]
    assert [entry.number for entry in Journal(path, Entry).up_to(4, counted(made))] == [0, 1, 2, 3]
    assert made == [0, 1, 2, 3]


def test_every_entry_is_kept_when_it_is_made(path: Path) -> None:
    kept: list[int] = []

    def make(number: int) -> Entry:
        kept.append(len(Journal(path, Entry).entries))
        return Entry(number, "")

    Journal(path, Entry).up_to(3, make)
    assert kept == [0, 1, 2]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_longer_list_keeps_what_is_there_and_a_shorter_one_takes_its_beginning(path: Path) -> None:
    made: list[int] = []
    Journal(path, Entry).up_to(3, counted(made))
    assert len(Journal(path, Entry).up_to(2, counted(made))) == 2
    assert len(Journal(path, Entry).up_to(5, counted(made))) == 5
    assert made == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "text",
    ["", '[{"number": 1, "wor', "3", "null", "[3]", '[{"number": 1}]', '[{"number": 1, "words": "", "more": 2}]'],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TasError) as error:
        Journal(path, Entry)
    assert str(error.value) == f"{path}: damaged; delete it to do all that it lists anew"
    assert path.read_text(encoding="utf-8") == text
