"""The peak of live feature maps of every network of a space, from those of some that differ in one width each."""

import copy
import random
from collections.abc import Mapping
from itertools import zip_longest

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.config.targets import Target
from tas.cost.measures import Measure
from tas.cost.memory import live_moments, peak_activations, size_of
from tas.cost.peak import LiveSum, peak_measure, that_may_be_largest
from tas.cutting.cut import cut
from tas.errors import TasError
from tas.reading.layer_calls import dtype_of
from tas.reading.plan import ChannelSource
from tas.space.space import SearchSpace

CHECKED = 3
"""Random networks whose peak is counted and held against what is predicted, beside the ends of the space."""

Place = tuple[str, int]
"""A block: its stage, and which one of it."""


def peak_for(target: Target, network: nn.Module, space: SearchSpace) -> Measure | None:
    """The peak of a space's networks as a cost, where one is aimed at.

    Args:
        target: What is aimed at.
        network: The unpruned one, on the CPU.
        space: Around it.

    Raises:
        TasError: It does not follow from widths and depths.
    """
    return Peaks(network, space).measure() if "memory" in target.amounts() else None


def peak_of(network: nn.Module, full: Architecture) -> int:
    """The peak of a network for an image such as the unpruned one takes, counted on the CPU, in bytes; the network is
    not changed."""
    return peak_activations(copy.deepcopy(network).cpu().eval(), blank_image(network, full))


def blank_image(network: nn.Module, full: Architecture) -> Tensor:
    """An image for the networks that are cut from an unpruned one: (1, C, H, W)."""
    return torch.zeros(1, full.in_channels, full.image_size, full.image_size, dtype=dtype_of(network))


class Peaks:
    """Counts what is alive in networks of a space while they judge an image.

    Args:
        network: The unpruned one, on the CPU; it is not changed.
        space: Around it.
    """

    def __init__(self, network: nn.Module, space: SearchSpace) -> None:
        self.network, self.space = network, space
        self.image = blank_image(network, space.full)
        self.blocks = {
            path: (stage, block) for stage, one in space.plan.stages.items() for block, path in enumerate(one.paths())
        }

    def measure(self) -> Measure:
        """The peak as a cost.

        Raises:
            TasError: It does not follow from widths and depths.
        """
        space = self.space
        self.check_shortcuts()
        least = {name: candidates[0] for name, candidates in space.widths.items()}
        moments = that_may_be_largest(self.moments(), space.plan, least, {s: c[0] for s, c in space.depths.items()})
        measure = peak_measure(moments)
        generator = random.Random(0)
        for architecture in (space.full, space.smallest(), *(space.drawn(generator) for _ in range(CHECKED))):
            counted = peak_of(cut(self.network, space.plan, architecture), space.full)
            predicted = measure.exact(space.plan, architecture)
            if counted != predicted:
                raise self.refusal(
                    f"a network of its space has a peak of {size_of(counted)}, not of {size_of(predicted)} as its "
                    "widths and depths would have it"
                )
        return measure

    def moments(self) -> list[LiveSum]:
        """All moments of a forward pass, by how far the bytes fall with one width after another."""
        space, full = self.space, dict(self.space.plan.widths)
        places, counts = self.run(full)
        left, each = list(counts), [dict[str, int]() for _ in counts]
        for group in self.narrowed_together():
            there, less = self.run({**full, **{name: space.widths[name][0] for name in group}})
            if there != places:
                raise self.refusal(f"it computes something else where {', '.join(group)} is narrower")
            for moment, (place, before, after) in enumerate(zip(places, counts, less)):
                if before == after:
                    continue
                name = next((name for name, home in group.items() if home in (None, place)), None)
                fewer = full[name] - space.widths[name][0] if name else 0
                if not name or (before - after) % fewer:
                    raise self.refusal(f"what is alive in it does not go with the channels of {', '.join(group)}")
                each[moment][name] = (before - after) // fewer
                left[moment] -= each[moment][name] * full[name]
        return [
            LiveSum(always, self.by_source(widths, place), *(place or (None, 0)))
            for always, widths, place in zip(left, each, places)
        ]

    def narrowed_together(self) -> list[dict[str, Place | None]]:
        """The widths that are searched, in groups: one that may be read anywhere, with None; or one of each block whose
        channels are read in that block alone, with the block, since what is alive there has but that one of them."""
        plan, read_in = self.space.plan, dict[str, set[Place | None]]()
        layers = [(layer.stage, layer.block, (*layer.reads, layer.writes)) for layer in plan.layers]
        for stage, block, parts in [*layers, *((item.stage, item.block, item.segments) for item in plan.channelwise)]:
            place = None if stage is None else (stage, block)
            for part in parts:
                source = str(part.source)
                for width in plan.stages[source].ends if source in plan.stages else (source,):
                    read_in.setdefault(str(width), set()).add(None if source in plan.stages else place)
        groups, own = list[dict[str, Place | None]](), dict[Place, list[str]]()
        for name, candidates in self.space.widths.items():
            (*others, home) = read_in[name]
            if candidates[0] == plan.widths[name]:
                continue
            if others or home is None:
                groups.append({name: None})
            else:
                own.setdefault(home, []).append(name)
        by_turns = zip_longest(*([(name, home) for name in names] for home, names in own.items()))
        return [*groups, *(dict(pair for pair in pairs if pair) for pairs in by_turns)]

    def run(self, widths: Mapping[str, int]) -> tuple[list[Place | None], list[int]]:
        """The moments of a network of all blocks: stage and block that each stands in, and the bytes."""
        architecture = self.space.choose(widths, self.space.full.depths)
        small = cut(self.network, self.space.plan, architecture).eval()
        moments = live_moments(small, self.image, list(self.blocks))
        return [self.blocks.get(str(path)) for path, _ in moments], [count for _, count in moments]

    def by_source(self, each: Mapping[str, int], place: Place | None) -> dict[ChannelSource, int]:
        """Bytes for each channel, by where these come from at any depth: outside of a stage, the width of the last
        block's output stands for the output of whichever block is the last."""
        stages = self.space.plan.stages
        outputs = {
            stage.ends[-1]: name
            for name, stage in stages.items()
            if len(set(stage.ends)) > 1 and (place is None or place[0] != name)
        }
        return {outputs.get(width, width): count for width, count in each.items()}

    def check_shortcuts(self) -> None:
        """TasError if networks of the space may have layers that others have not."""
        for layer in self.space.plan.layers:
            reads, writes = (self.channels_of(end) for end in (layer.reads[0].source, layer.writes.source))
            if layer.if_unequal and reads & writes:
                raise self.refusal(
                    f"some networks of its space have the layer {layer.name} and others have not; give --residuals tied"
                )

    def channels_of(self, source: ChannelSource) -> set[int]:
        """The numbers of channels that a source can have."""
        if isinstance(source, int):
            return {source}
        plan, space = self.space.plan, self.space
        ends = plan.stages[source].ends if source in plan.stages else (source,)
        return {count for end in ends for count in ((end,) if isinstance(end, int) else space.widths[end])}

    def refusal(self, why: str) -> TasError:
        """The error that says why a target of this kind cannot be had."""
        return TasError(f"--memory-target: the peak memory of {self.space.full.network} cannot be predicted: {why}")
