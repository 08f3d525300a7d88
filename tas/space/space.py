"""The candidates between which a search chooses."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tas.architecture import Architecture
from tas.config.groups import Space
from tas.errors import TasError
from tas.reading.plan import Plan
from tas.reading.residuals import tie_residuals


def width_candidates(channels: int, ratios: Sequence[float] = Space.ratios, multiple: int = 1) -> tuple[int, ...]:
    """int(channels * ratio) for each ratio, at least 1, ascending, without duplicates: 16 gives 4 6 8 9 11 12 14 16.

    With a `multiple` above 1 each is brought to the nearest multiple of it, at least one; the full width stays what it
    is, whether a multiple or not.
    """
    # 90 * 0.7 comes out a little below 63; the small term keeps it there.
    counts = {max(1, int(channels * ratio + 1e-9)) for ratio in ratios}
    if multiple > 1:
        rounded = {multiple * max(1, math.floor(channels * ratio / multiple + 0.5)) for ratio in ratios if ratio < 1}
        counts = {count for count in rounded if count < channels} | {channels for ratio in ratios if ratio == 1}
    return tuple(sorted(counts or {channels}))


def depth_candidates(blocks: int) -> tuple[int, ...]:
    """All of 1..blocks up to three; else every odd number, and all of them: 18 gives 1 3 5 ... 17 18."""
    if blocks <= 3:
        return tuple(range(1, blocks + 1))
    return tuple(sorted({*range(1, blocks + 1, 2), blocks}))


@dataclass(frozen=True)
class SearchSpace:
    """The candidates of every width and depth of one network, ascending; a single candidate is not searched."""

    plan: Plan
    """The structure of the unpruned network."""
    full: Architecture
    """The unpruned network."""
    widths: Mapping[str, tuple[int, ...]]
    depths: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, plan: Plan, full: Architecture, options: Space = Space()) -> "SearchSpace":
        """The space around an unpruned network.

        Args:
            plan: Its structure, every width by itself.
            full: Its widths and depths.
            options: What of it is searched, and between what.

        Raises:
            TasError: A pattern to exclude fits no layer and no stage.
        """
        plan = tie_residuals(plan) if options.residuals == "tied" else plan
        left_out = excluded(plan, options.exclude)

        def candidates(name: str, channels: int) -> tuple[int, ...]:
            if options.search == "depth" or name in left_out:
                return (channels,)
            return width_candidates(channels, options.ratios, math.lcm(options.round_to, plan.units.get(name, 1)))

        widths = {name: candidates(name, channels) for name, channels in plan.widths.items()}
        depths = {
            name: depth_candidates(blocks) if options.search != "width" and name not in left_out else (blocks,)
            for name, blocks in full.depths.items()
        }
        return cls(plan, full, widths, depths)

    @classmethod
    def whole(cls, plan: Plan, full: Architecture, round_to: int = 1) -> "SearchSpace":
        """Every number of channels and blocks that a network can have; widths that identity shortcuts join are one.

        Args:
            plan: The structure of the unpruned network, every width by itself.
            full: Its widths and depths.
            round_to: What widths are multiples of, unless they are full, beside what their grouped convolutions ask.
        """
        plan = tie_residuals(plan)
        multiples = {name: math.lcm(round_to, plan.units.get(name, 1)) for name in plan.widths}
        widths = {name: (*range(multiples[name], count, multiples[name]), count) for name, count in plan.widths.items()}
        return cls(plan, full, widths, {stage: tuple(range(1, blocks + 1)) for stage, blocks in full.depths.items()})

    def choose(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> Architecture:
        """The architecture with these widths, and those tied to them, and these depths."""
        return self.full.with_counts({n: widths[self.plan.tied.get(n, n)] for n in self.full.widths}, depths)

    def drawn(self, generator: random.Random) -> Architecture:
        """An architecture of which every width and depth is drawn by itself, whatever it costs."""
        return self.choose(
            {name: generator.choice(candidates) for name, candidates in self.widths.items()},
            {name: generator.choice(candidates) for name, candidates in self.depths.items()},
        )

    def smallest(self) -> Architecture:
        """The narrowest and shallowest network of the space, which is also its cheapest."""
        return self.choose({n: c[0] for n, c in self.widths.items()}, {n: c[0] for n, c in self.depths.items()})

    def largest(self) -> Architecture:
        """The widest and deepest network of the space."""
        return self.choose({n: c[-1] for n, c in self.widths.items()}, {n: c[-1] for n, c in self.depths.items()})

    def __str__(self) -> str:
        """A table: every width with the layers that share it and its candidates, every depth, what is left alone."""
        rows = [("width", "full", "candidates", "layers that share it")]
        for name, candidates in self.widths.items():
            shared = [layer.name for layer in self.plan.layers if layer.writes.source == name and not layer.if_unequal]
            names = ", ".join(dict.fromkeys(shared))
            rows.append((name, str(self.full.widths[name]), " ".join(map(str, candidates)), names))
        rows += [("", "", "", ""), ("depth", "full", "candidates", "blocks")] if self.depths else []
        for name, candidates in self.depths.items():
            stage = self.plan.stages[name]
            blocks = f"{stage.blocks[0]} to {stage.blocks[-1]} of {stage.container or 'the network'}"
            rows.append((name, str(self.full.depths[name]), " ".join(map(str, candidates)), blocks))
        sizes = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join([*(cell.ljust(size) for cell, size in zip(row, sizes)), row[3]]).rstrip() for row in rows]
        alone = [f"  {name}: {why}" for name, why in self.plan.left_alone.items()]
        return "\n".join([*lines, *(["", "left alone:"] if alone else []), *alone])


def excluded(plan: Plan, patterns: Sequence[str]) -> set[str]:
    """The widths and stages that the patterns leave alone. TasError if a pattern fits nothing."""
    found: set[str] = set()
    for pattern in patterns:
        layers = [layer for layer in plan.layers if fnmatchcase(layer.name, pattern)]
        widths = {layer.writes.source for layer in layers if isinstance(layer.writes.source, str)}
        stages = {name for name in plan.stages if fnmatchcase(name, pattern)}
        if not layers and not stages:
            raise TasError(
                f"--exclude {pattern!r} fits no layer and no stage of the network; e.g. {plan.layers[0].name!r} is one"
            )
        found |= widths | stages
    return found
