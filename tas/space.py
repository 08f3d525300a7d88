"""The candidates between which a search chooses."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cost import exact_flops, flops
from tas.cutting import cut
from tas.errors import TasError, gist
from tas.networks import NETWORKS
from tas.networks.cifar_resnet import CifarResNet
from tas.plan import Plan
from tas.reading import read_plan
from tas.reading.residuals import tie_residuals

RATIOS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The paper's shares of a convolution's channels."""


def width_candidates(channels: int, ratios: Sequence[float] = RATIOS, multiple: int = 1) -> tuple[int, ...]:
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
    def of(
        cls,
        plan: Plan,
        full: Architecture,
        ratios: Sequence[float] = RATIOS,
        search_widths: bool = True,
        search_depths: bool = True,
        round_to: int = 1,
        exclude: Sequence[str] = (),
    ) -> "SearchSpace":
        """The paper's space around an unpruned network, or a part of it.

        Args:
            plan: Its structure.
            full: Its widths and depths.
            ratios: Candidate widths, as shares of the full ones.
            search_widths, search_depths: Whether these are searched at all.
            round_to: Widths are multiples of this, or full.
            exclude: Patterns, as for file names, of layers and stages that keep their full width or depth.

        Raises:
            TasError: A pattern fits no layer and no stage.
        """
        left_out = excluded(plan, exclude)

        def candidates(name: str, channels: int) -> tuple[int, ...]:
            if not search_widths or name in left_out:
                return (channels,)
            return width_candidates(channels, ratios, math.lcm(round_to, plan.units.get(name, 1)))

        widths = {name: candidates(name, channels) for name, channels in plan.widths.items()}
        depths = {
            name: depth_candidates(blocks) if search_depths and name not in left_out else (blocks,)
            for name, blocks in full.depths.items()
        }
        return cls(plan, full, widths, depths)

    def choose(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> Architecture:
        """The architecture with these widths, and those tied to them, and these depths."""
        return self.full.with_counts({n: widths[self.plan.tied.get(n, n)] for n in self.full.widths}, depths)

    def smallest(self) -> Architecture:
        """The narrowest and shallowest network of the space, which is also its cheapest."""
        return self.choose({n: c[0] for n, c in self.widths.items()}, {n: c[0] for n, c in self.depths.items()})

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


def search_space(
    network: nn.Module,
    example_input: Tensor,
    *,
    ratios: Sequence[float] = RATIOS,
    round_to: int = 1,
    exclude: Sequence[str] = (),
    residuals: Literal["tied", "free"] = "tied",
    name: str | None = None,
) -> SearchSpace:
    """Read a network of any class: which of its widths and depths can be searched, and between what.

    `print` shows it as a table.

    Args:
        network: From images (N, C, H, W) to logits (N, classes); it is not changed.
        example_input: Such images; only their shape matters.
        ratios, round_to, exclude: As for `SearchSpace.of`.
        residuals: Whether widths of a CIFAR ResNet that identity shortcuts join are one, or free as in the paper.
        name: What `architecture.json` calls the network: "package.module:factory" if a function there makes it, so
            that `tas.build` and `tas.load` can make it again; by default its class.

    Raises:
        TasError: The network cannot be read, or nothing of it can be searched.
    """
    if example_input.dim() != 4 or example_input.shape[2] != example_input.shape[3]:
        raise TasError(
            f"example_input has the shape {tuple(example_input.shape)}; it must be square images (N, C, H, W)"
        )
    if isinstance(network, CifarResNet):
        name = next(known for known, spec in NETWORKS.items() if spec == network.spec)
    name = name or f"{type(network).__module__}:{type(network).__qualname__}"
    plan = read_plan(network, example_input.shape[1:], name)
    image_size = None if name in NETWORKS else example_input.shape[-1]
    full = Architecture(name, plan.logits, example_input.shape[1], plan.widths, plan.depths(), image_size)
    chosen = tie_residuals(plan) if residuals == "tied" else plan
    space = SearchSpace.of(chosen, full, ratios, round_to=round_to, exclude=exclude)
    check_cuts(network, space, example_input.shape[1:])
    return space


def check_cuts(network: nn.Module, space: SearchSpace, input_shape: Sequence[int]) -> None:
    """TasError unless networks of the space can be cut, take images, and cost what the plan says.

    The smallest is tried, and two of which the widths are drawn, so that those that have to be equal are found out.
    """
    with torch.random.fork_rng(devices=[]):  # what a search draws later does not depend on it
        generator = random.Random(0)
        drawn = [
            space.choose(
                {name: generator.choice(candidates) for name, candidates in space.widths.items()},
                {name: generator.choice(candidates) for name, candidates in space.depths.items()},
            )
            for _ in range(2)
        ]
        for architecture in (space.smallest(), *drawn):
            check_cut(network, space, architecture, input_shape)


def check_cut(network: nn.Module, space: SearchSpace, architecture: Architecture, input_shape: Sequence[int]) -> None:
    """TasError unless a network can be cut, takes images, and costs what the plan says."""
    name = space.full.network
    try:
        counted = flops(cut(network, space.plan, architecture), input_shape)
    except Exception as error:  # whatever the user's code raises when a block or channels of it are gone
        raise TasError(f"{name} was read wrongly; a smaller network does not run: {gist(error)}") from None
    planned = exact_flops(space.plan, architecture)
    if counted != planned:
        raise TasError(f"{name} was read wrongly; a smaller network has {counted} FLOPs, not {planned}")
