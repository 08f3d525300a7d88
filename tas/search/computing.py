"""Which way of computing a supernet is the faster one where it runs."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch

from tas.data.loaders import Batch
from tas.errors import TasError
from tas.runs.console import say
from tas.search.strategy import Backward, Moment, SearchStrategy
from tas.supernet.check import check_masked
from tas.supernet.choice import Compute

WARM = 3
"""Iterations before those that are timed."""

TIMED = 5
"""Of each way, by turns."""


class Idle:
    """An optimiser that leaves the parameters as they are."""

    def __init__(self) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": 0.0}]

    def zero_grad(self) -> None:
        """As `Stepper`."""

    def step(self) -> None:
        """As `Stepper`."""


def choose_compute(strategy: SearchStrategy, batch: Mapping[str, Batch], moment: Moment, backward: Backward) -> Compute:
    """Time both ways on a batch, set the supernet to the faster one, say which it is, and learn nothing on the way.

    Args:
        strategy: That of the search, at its start.
        batch: As for its steps.
        moment: Where the search is.
        backward: As for its steps.
    """
    supernet = strategy.supernet
    try:
        check_masked(supernet)
    except TasError as error:
        say(f"sliced: {error}")
        return "sliced"
    buffers = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    optimizers = [Idle() for _ in strategy.optimizers()]
    times: dict[Compute, list[float]] = {"sliced": [], "masked": []}
    for number in range(WARM + TIMED):
        for compute, taken in times.items():
            supernet.compute_by(compute)
            wait()
            began = time.perf_counter()
            strategy.step(batch, moment, optimizers, backward)
            wait()
            if number >= WARM:
                taken.append(time.perf_counter() - began)
    for parameter in supernet.parameters():
        parameter.grad = None
    with torch.no_grad():
        for name, buffer in supernet.named_buffers():
            buffer.copy_(buffers[name])
    sliced, masked = (1e3 * statistics.median(times[compute]) for compute in ("sliced", "masked"))
    chosen: Compute = "masked" if masked < sliced else "sliced"
    supernet.compute_by(chosen)
    say(f"{chosen}: an iteration takes {sliced:.0f} ms sliced, {masked:.0f} ms masked (--compute)")
    return chosen


def wait() -> None:
    """Until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
