"""The latency of networks of one space, each timed by turns with the unpruned one."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from tas.architecture import Architecture
from tas.cutting.cut import cut
from tas.reading.plan import Plan
from tas.runs.results import TimedLatency
from tas.timing.interleaved import LEAST_ROUNDS, Spread, interleaved, ratios
from tas.timing.setting import Setting

MOST_ROUNDS, SECONDS = 60, 6.0
"""Measurements of each network by which a promise is kept, at most, and time for them; `PROMISE_ROUNDS` in any case."""

PROMISE_ROUNDS = 30
"""Measurements, at least."""


@dataclass(frozen=True)
class Subject:
    """What networks are cut from."""

    network: nn.Module
    """The unpruned one, on the CPU; it is not changed."""
    plan: Plan
    full: Architecture

    def made(self, architecture: Architecture) -> nn.Module:
        """A network of it, in eval mode."""
        return cut(self.network, self.plan, architecture).eval()


class Stopwatch:
    """Times networks as they will be built.

    Args:
        subject: What they are cut from.
        setting: What is measured on.

    Raises:
        OnnxRuntimeError: The unpruned network cannot be run there.
    """

    def __init__(self, subject: Subject, setting: Setting) -> None:
        full = subject.full
        self.subject, self.setting = subject, setting
        self.image_shape = full.in_channels, full.image_size, full.image_size
        self.full = setting.network_call(subject.made(full), self.image_shape)

    def times(
        self, architecture: Architecture, seconds: float, rounds: int, least: int = LEAST_ROUNDS
    ) -> tuple[tuple[float, ...], ...]:
        """The times of the unpruned network and of another, round by round, in seconds: (2, rounds)."""
        call = self.setting.network_call(self.subject.made(architecture), self.image_shape)
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
