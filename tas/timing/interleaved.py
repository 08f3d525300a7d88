"""Times of several calls, measured by turns, so that what slows a machine down for a while slows them all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.benchmark import Timer

LEAST_ROUNDS = 5
"""Measurements of each call, however long they take: quartiles of fewer say nothing."""

WARM_UP = 2
"""Calls that torch's timer makes before each measurement; its own number, for fewer than 300 calls."""


@dataclass(frozen=True)
class Spread:
    """Some measurements of the same."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of one measurement or more."""
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high))

    @property
    def scatter(self) -> float:
        """The distance of the quartiles as a share of the median."""
        return (self.high - self.low) / self.median


def interleaved(
    calls: Sequence[Callable[[], object]], threads: int, seconds: float, rounds: int, least: int = LEAST_ROUNDS
) -> tuple[tuple[float, ...], ...]:
    """The time of each call in seconds, in each round: (calls, rounds), by `torch.utils.benchmark`.

    Each round measures every call once, in the order of the one before turned round. A measurement repeats a call
    that is fast.

    Args:
        calls: What is timed; a call returns when its work is done.
        threads: Of torch, on the CPU.
        seconds: Time for all together, about.
        rounds: So many, unless the seconds are over before.
        least: So many in any case.
    """
    timers = [Timer("call()", globals={"call": call}, num_threads=threads) for call in calls]
    first = [timer.timeit(WARM_UP).median for timer in timers]
    share = seconds / rounds / len(calls)
    numbers = [max(1, int(share / max(time, 1e-9)) - WARM_UP) for time in first]
    needed = sum((number + WARM_UP) * time for number, time in zip(numbers, first, strict=True))
    planned = max(least, min(rounds, int(seconds / needed)))
    found: list[list[float]] = [[] for _ in calls]
    order = list(range(len(calls)))
    for _ in range(planned):
        for place in order:
            found[place].append(timers[place].timeit(numbers[place]).median)
        order.reverse()
    return tuple(map(tuple, found))


def in_eager(network: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], object]:
    """What judges images, and waits for the device that does it, when it is called."""
    elsewhere = images.device.type != "cpu"

    def call() -> None:
        with torch.inference_mode():
            network(images)
            if elsewhere:
                torch.accelerator.synchronize()

    return call


def ratios(before: Sequence[float], after: Sequence[float]) -> Spread:
    """How the second time relates to the first, round by round."""
    return Spread.of([second / first for first, second in zip(before, after, strict=True)])
