"""What the networks of a comparison may cost, and how tables and sentences say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tas.config.amount import Amount
from tas.config.methods import COUNTED_MEASURES
from tas.cost.measures import MEASURES
from tas.runs.results import FoundResult

WORDS = {name: measure.words for name, measure in MEASURES.items()} | {"latency": "latency", "memory": "peak memory"}
"""Measure -> what tables call it."""

BESIDE = "+"
"""Between the measures, and between the amounts, that networks keep at once."""


@dataclass(frozen=True)
class Aim:
    """What found networks may cost: what to keep of a measure, or of several at once."""

    amounts: tuple[tuple[str, Amount], ...]
    """Measure, and what to keep of it."""

    @classmethod
    def of(cls, amounts: Mapping[str, Amount]) -> "Aim":
        """That of measures and what to keep of them."""
        return cls(tuple(amounts.items()))

    @property
    def measures(self) -> tuple[str, ...]:
        """All of which something is aimed at."""
        return tuple(dict(self.amounts))

    @property
    def measure(self) -> str:
        """These as rows name them."""
        return BESIDE.join(self.measures)

    @property
    def aimed(self) -> str:
        """The amounts as rows have them."""
        return BESIDE.join(str(amount) for _, amount in self.amounts)

    @property
    def folder(self) -> str:
        """What folders are named for it."""
        return BESIDE.join(str(a) if measure == "flops" else f"{measure}-{a}" for measure, a in self.amounts)

    @property
    def counted(self) -> bool:
        """Whether it is a single one of what is counted, so that networks of its cost can be drawn."""
        return len(self.amounts) == 1 and self.measures[0] in COUNTED_MEASURES

    def reached(self, found: FoundResult) -> str:
        """What a found network costs, in words."""
        ratios = {
            "flops": found.counted_ratio,
            "params": found.params_ratio,
            "latency": None if found.latency is None else found.latency.ratio,
            "memory": found.memory_ratio,
        }
        return ", ".join(f"{ratios[measure]:.2%} of the {WORDS[measure]}" for measure in self.measures)


UNPRUNED_AIM = Aim.of({"flops": Amount(1.0)})
"""That of the unpruned network."""


class Aimed(Protocol):
    """What was aimed at, as rows have it."""

    @property
    def measure(self) -> str: ...
    @property
    def target(self) -> float: ...
    @property
    def aimed(self) -> str: ...


def aim_parts(row: Aimed) -> Sequence[tuple[str, str]]:
    """Measure in words, and what was aimed at of it: of a single one that is counted the share, whatever was given."""
    if row.measure in COUNTED_MEASURES:
        return [(WORDS[row.measure], f"{row.target:g}")]
    return [
        (WORDS[measure], amount)
        for measure, amount in zip(row.measure.split(BESIDE), row.aimed.split(BESIDE), strict=True)
    ]


def aim_words(row: Aimed) -> str:
    """What was aimed at, as tables have it: 0.5 FLOPs + 3.5ms latency."""
    return " + ".join(f"{amount} {words}" for words, amount in aim_parts(row))


def aim_start(row: Aimed) -> str:
    """The same as sentences begin with it: FLOPs 0.5 + latency 3.5ms."""
    return " + ".join(f"{words} {amount}" for words, amount in aim_parts(row))


def leading_measure(measure: str) -> str:
    """The measure, or the first of several, by which networks are set out in pictures."""
    return measure.split(BESIDE)[0]
