"""The latency of networks of one space, each timed by turns with the unpruned one."""

import numpy as np
from torch import nn

from tas.architecture import Architecture
from tas.cutting.cut import cut
from tas.reading.plan import Plan
from tas.runs.results import TimedLatency
from tas.timing.interleaved import Spread, interleaved, ratios
from tas.timing.setting import Setting

MOST_ROUNDS, SECONDS = 60, 6.0
"""Measurements of each network by which a promise is kept, at most, and time for them; `PROMISE_ROUNDS` in any case."""

PROMISE_ROUNDS = 30
"""Measurements, at least."""


class Stopwatch:
    """Times networks of a space as they will be built.

    Args:
        network: The unpruned one, on the CPU; it is not changed.
        plan: Its structure.
        full: Its widths and depths.
        setting: What is measured on.

    Raises:
        OnnxRuntimeError: It cannot be run there.
    """

    def __init__(self, network: nn.Module, plan: Plan, full: Architecture, setting: Setting) -> None:
        self.network, self.plan, self.setting = network, plan, setting
        self.image_shape = full.in_channels, full.image_size, full.image_size
        self.full = setting.network_call(cut(network, plan, full).eval(), self.image_shape)

    def times(
        self, architecture: Architecture, seconds: float, rounds: int, least: int = 5
    ) -> tuple[tuple[float, ...], ...]:
        """The times of the unpruned network and of another, round by round, in seconds: (2, rounds)."""
        call = self.setting.network_call(cut(self.network, self.plan, architecture).eval(), self.image_shape)
        return interleaved([self.full, call], self.setting.threads, seconds, rounds, least)

    def time(self, architecture: Architecture) -> TimedLatency:
        """What is promised of a network, measured."""
        times = self.times(architecture, SECONDS, MOST_ROUNDS, PROMISE_ROUNDS)
        ratio, own = ratios(*times), Spread.of(times[1])
        return TimedLatency(
            measured_on=str(self.setting),
            seconds=own.median,
            seconds_full=float(np.median(times[0])),
            ratio=ratio.median,
            ratio_low=ratio.low,
            ratio_high=ratio.high,
            rounds=len(times[0]),
        )
