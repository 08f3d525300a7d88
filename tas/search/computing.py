"""Which way of computing a search's iterations there are, and which is the fastest one where it runs."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pytorch_lightning as pl
import torch

from tas.data.loaders import Batch
from tas.errors import TasError
from tas.runs.console import say
from tas.search import captured
from tas.search.captured import CapturedSearch
from tas.search.strategy import Backward, Moment, Scalars, SearchStrategy, Stepper, iterate
from tas.supernet.check import check_masked

Way = Literal["sliced", "masked", "captured"]
"""sliced or masked, as a supernet's layers compute; or captured: masked, and recorded as a CUDA graph."""

Iterate = Callable[[Mapping[str, Batch], Moment], Scalars]
"""An iteration of a search: from a batch and where the search is to what there is to log."""

UNTIMED = captured.WARM + 1
"""Iterations before those that are timed; in the last one it is captured."""

TIMED = 5
"""Of each way."""


class Idle:
    """An optimiser that leaves the parameters as they are."""

    def __init__(self) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": 0.0}]

    def zero_grad(self) -> None:
        """As `Stepper`."""

    def step(self) -> None:
        """As `Stepper`."""


def iterations(
    strategy: SearchStrategy, way: Way, optimizers: Sequence[Stepper], backward: Backward, compiled: bool = False
) -> Iterate:
    """The iterations of a search, computed one way, to which its supernet goes over.

    Args:
        strategy: That of the search.
        way: The way.
        optimizers, backward: As for its `learn`.
        compiled: Whether torch.compile takes the supernet, where it is masked.
    """
    strategy.supernet.compute_by("sliced" if way == "sliced" else "masked", compiled)
    if way == "captured":
        return CapturedSearch(strategy, optimizers, backward).iterate
    return partial(iterate, strategy, optimizers=optimizers, backward=backward)


def choose_compute(
    strategy: SearchStrategy, batch: Mapping[str, Batch], moment: Moment, backward: Backward, fixed: Way = "masked"
) -> Way:
    """Time sliced layers and a way with fixed shapes on a batch, say which is the faster, and learn nothing thereby.

    Args:
        strategy: That of the search, at its start.
        batch: As for its iterations.
        moment: Where the search is.
        backward: As for its iterations.
        fixed: The way with fixed shapes; masked, if that cannot be captured.
    """
    supernet = strategy.supernet
    try:
        check_masked(supernet)
    except TasError as error:
        say(f"sliced: {error}")
        return "sliced"
    buffers = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    sliced = milliseconds(strategy, "sliced", batch, moment, backward)
    try:
        other = milliseconds(strategy, fixed, batch, moment, backward)
    except TasError as error:
        say(f"masked: {error}")
        fixed = "masked"
        other = milliseconds(strategy, fixed, batch, moment, backward)
    for parameter in supernet.parameters():
        parameter.grad = None
    with torch.no_grad():
        for name, buffer in supernet.named_buffers():
            buffer.copy_(buffers[name])
    chosen: Way = fixed if other < sliced else "sliced"
    say(f"{chosen}: an iteration takes {sliced:.0f} ms sliced, {other:.0f} ms {fixed} (--compute)")
    return chosen


def milliseconds(
    strategy: SearchStrategy, way: Way, batch: Mapping[str, Batch], moment: Moment, backward: Backward
) -> float:
    """How long an iteration takes one way, in which nothing is updated; the median of some."""
    one, taken = iterations(strategy, way, [Idle() for _ in strategy.optimizers()], backward), []
    for number in range(UNTIMED + TIMED):
        wait()
        began = time.perf_counter()
        one(batch, moment)
        wait()
        if number >= UNTIMED:
            taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)


def wait() -> None:
    """Until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def why_not_captured(trainer: pl.Trainer) -> str | None:
    """Why iterations cannot be captured where a trainer runs; None if they can."""
    if trainer.strategy.root_device.type != "cuda":
        return "CUDA graphs need an NVIDIA GPU"
    if trainer.world_size > 1:
        return "one device alone captures, --devices 1"
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        return "the loss is scaled on the host with --precision 16-mixed; bf16-mixed needs no scaling"
    return None
