"""Where the channels of a tensor come from, and which of them must be equally many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tas.reading.plan import Segment


@dataclass(frozen=True)
class Channels:
    """One dimension of a tensor whose size can change: features that come from widths, concatenated."""

    dim: int
    segments: tuple[Segment, ...]

    def moved(self, dim: int) -> "Channels":
        """The same channels in another dimension."""
        return replace(self, dim=dim)

    def repeated(self, times: int) -> "Channels":
        """Each feature `times` over, one beside the other."""
        return replace(self, segments=tuple(Segment(s.source, s.repeat * times) for s in self.segments))


class Widths:
    """The widths found in a network so far: sets of channel counts that must be equal, kept as a union-find."""

    def __init__(self) -> None:
        self.channels: dict[str, int] = {}
        """Width -> its channels in the unpruned network."""
        self.parent: dict[str, str] = {}
        self.units: dict[str, int] = {}
        self.unordered: set[str] = set()
        self.frozen: dict[str, str] = {}
        """Width that cannot be searched -> why."""

    def new(self, name: str, channels: int) -> None:
        """A width of its own."""
        self.channels[name] = channels
        self.parent[name] = name
        self.units[name] = 1

    def find(self, name: str) -> str:
        """The name under which the set of a width is known: its first member."""
        while self.parent[name] != name:
            self.parent[name] = name = self.parent[self.parent[name]]
        return name

    def tie(self, first: str, second: str) -> None:
        """Two widths must be equal from now on."""
        first, second = self.find(first), self.find(second)
        if first == second:
            return
        names = list(self.channels)
        first, second = sorted((first, second), key=names.index)
        self.parent[second] = first
        self.units[first] = math.lcm(self.units[first], self.units[second])
        if second in self.unordered:
            self.unordered.add(first)
        if second in self.frozen:
            self.freeze(first, self.frozen[second])

    def freeze(self, name: str, why: str) -> None:
        """A width keeps its full channels; the first reason given is the one that stays."""
        self.frozen.setdefault(self.find(name), why)

    def freeze_all(self, segments: Sequence[Segment], why: str) -> None:
        """Freeze every width among the segments."""
        for segment in segments:
            if isinstance(segment.source, str):
                self.freeze(segment.source, why)

    def require_unit(self, segment: Segment, unit: int) -> None:
        """The features of a segment must always be a multiple of `unit`; a fixed segment is not touched."""
        if isinstance(segment.source, str):
            name = self.find(segment.source)
            self.units[name] = math.lcm(self.units[name], unit // math.gcd(unit, segment.repeat))

    def unorder(self, segments: Sequence[Segment]) -> None:
        """The channels of these widths have places that matter."""
        self.unordered |= {self.find(segment.source) for segment in segments if isinstance(segment.source, str)}

    def size(self, segment: Segment) -> int:
        """Features of a segment in the unpruned network."""
        source = segment.source
        return segment.repeat * (source if isinstance(source, int) else self.channels[source])

    def unify(self, first: Sequence[Segment], second: Sequence[Segment], why: str) -> None:
        """Two dimensions must be equally long, feature for feature; where they are not made alike, both are frozen."""
        alike = len(first) == len(second) and all(
            isinstance(a.source, str)
            and isinstance(b.source, str)
            and a.repeat == b.repeat
            and self.size(a) == self.size(b)
            for a, b in zip(first, second)
        )
        if not alike:
            self.freeze_all([*first, *second], why)
            return
        for a, b in zip(first, second):
            assert isinstance(a.source, str) and isinstance(b.source, str)
            self.tie(a.source, b.source)

    def settled(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """The segments under the names of their sets; frozen ones as the number of their channels."""
        return tuple(self.settle(segment) for segment in segments)

    def settle(self, segment: Segment) -> Segment:
        """One segment of `settled`."""
        if isinstance(segment.source, int):
            return segment
        name = self.find(segment.source)
        return Segment(self.channels[name], segment.repeat) if name in self.frozen else Segment(name, segment.repeat)
