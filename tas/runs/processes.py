"""What the processes of one run tell each other, beside what Lightning and torch see to."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

Shared = TypeVar("Shared")


def processes() -> int:
    """How many processes work together on this run."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered(value: Shared) -> list[Shared]:
    """A value of each process, by its rank, on all of them."""
    if processes() == 1:
        return [value]
    values: list[Any] = [None] * processes()
    distributed.all_gather_object(values, value)
    return values


def made_by_first(make: Callable[[], Shared]) -> Shared:
    """What the first process makes, on all of them; the others wait for it.

    Times that several processes measured beside each other would be wrong, and no two would be the same.

    What is raised there is raised on all of them.
    """
    if processes() == 1:
        return make()
    box: list[Any] = [None]
    if distributed.get_rank() == 0:
        try:
            box = [make()]
        except Exception as error:  # else the others would wait for ever
            box = [error]
    distributed.broadcast_object_list(box, src=0)
    if isinstance(box[0], Exception):
        raise box[0]
    made: Shared = box[0]
    return made
