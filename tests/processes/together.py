"""Functions called in several processes that form one group."""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing


def called_together(function: Callable[..., Any], *arguments: Any, processes: int = 2) -> list[Any]:
    """What a function of a module, given the rank and the arguments, returns in each of several processes."""
    with tempfile.TemporaryDirectory() as place:
        call = partial(called, function, arguments, Path(place), processes)
        multiprocessing.spawn(call, nprocs=processes)
        return [torch.load(Path(place, str(rank)), weights_only=False) for rank in range(processes)]


def called(function: Callable[..., Any], arguments: tuple[Any, ...], place: Path, processes: int, rank: int) -> None:
    """What a single process does."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{place}/store", rank=rank, world_size=processes)
    try:
        torch.save(function(rank, *arguments), place / str(rank))
    finally:
        distributed.destroy_process_group()
