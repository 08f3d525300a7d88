"""What a network is made of: the one description behind cost, supernet and the cutting of smaller networks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

ChannelSource = str | int
"""Where a number of channels comes from: a width, a stage (its output), or a fixed number."""
Width = str | int
"""A source that no depth changes: a width, named for the first layer that writes it, or a fixed number of channels."""


@dataclass(frozen=True)
class Segment:
    """Consecutive features that come from one source."""

    source: ChannelSource
    repeat: int = 1
    """Features for each channel of the source: H x W after a flatten, else 1 nearly always."""


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, and where the numbers of its channels come from."""

    name: str
    kernel: tuple[int, ...]
    """Height and width; of a linear layer (1, 1)."""
    resolution: tuple[int, ...]
    """Height and width of the output; of a linear layer all its dimensions but the first and the features."""
    reads: tuple[Segment, ...]
    """Input channels that an output channel reads, concatenated. A stage's name stands for the output of the last block
    that the stage keeps."""
    writes: Segment
    """Output channels; its source is a width or a number."""
    stage: str | None = None
    """The stage it stands in; it runs if that stage keeps more than `block` blocks."""
    block: int = 0
    norm: str | None = None
    """The batch norm that it alone feeds, and that every candidate of its width has for itself."""
    if_unequal: bool = False
    """A network has it only where `reads` and `writes` come out different; the unpruned one may lack it."""
    stride: tuple[int, ...] = (1, 1)
    groups: int = 1
    bias: bool = False

    @property
    def taps(self) -> int:
        """Weights for each pair of an input and an output channel."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """Places at which the kernel is applied: 1 for a linear layer after pooling."""
        return math.prod(self.resolution)


@dataclass(frozen=True)
class Channelwise:
    """A module or a bare parameter that treats every channel by itself, and so has as many as it is given."""

    name: str
    segments: tuple[Segment, ...]
    dim: int
    """The dimension that has the channels: of the module's input, or of the bare parameter."""
    bare: bool = False
    """Whether it is a parameter of a module that does other things too."""
    parameters: int = 0
    """Its parameters for each feature. Those of a grouped convolution are its layer's."""
    stage: str | None = None
    """The stage it stands in; it runs if that stage keeps more than `block` blocks."""
    block: int = 0


@dataclass(frozen=True)
class Rest:
    """Parameters of one place of the network that no width changes."""

    parameters: int
    """How many there are, less what the layers there seem to have and make of them."""
    stage: str | None = None
    """The stage they stand in; they are there if that stage keeps more than `block` blocks."""
    block: int = 0


@dataclass(frozen=True)
class Stage:
    """Consecutive blocks of which the later ones can be left out."""

    container: str
    """The module whose children the blocks are."""
    blocks: tuple[str, ...]
    """The children's names, in forward order."""
    ends: tuple[Width, ...] = ()
    """Where the blocks' outputs have widths of their own: the width of each. Else all have the same channels."""

    def paths(self) -> list[str]:
        """The blocks' names in the network, in forward order."""
        return [f"{self.container}.{block}".lstrip(".") for block in self.blocks]


@dataclass(frozen=True)
class Plan:
    """The structure of a network at one input size."""

    layers: tuple[Layer, ...]
    """In forward order."""
    stages: Mapping[str, Stage]
    widths: Mapping[str, int]
    """Everything that can be narrower -> its channels in the unpruned network, in forward order."""
    logits: int
    """Classes that the network tells apart."""
    channelwise: tuple[Channelwise, ...] = ()
    units: Mapping[str, int] = field(default_factory=dict)
    """Width -> the number that its candidates must be multiples of, where that is not 1: a grouped convolution loses
    whole groups."""
    unordered: frozenset[str] = frozenset()
    """Widths whose channels have a place that matters, a shuffle's for example: they cannot be sorted."""
    left_alone: Mapping[str, str] = field(default_factory=dict)
    """Layer -> why its output channels cannot be searched."""
    additions: tuple[str, ...] = ()
    """Modules that add two feature maps, which need not have equally many channels."""
    rest: tuple[Rest, ...] = ()
    """Parameters that are neither a layer's nor go with its features."""
    tied: Mapping[str, str] = field(default_factory=dict)
    """Width that an architecture lists, but that is always equal to another -> that one, which is in `widths`."""

    def depths(self) -> dict[str, int]:
        """Stage -> blocks of the unpruned network."""
        return {name: len(stage.blocks) for name, stage in self.stages.items()}

    def all_widths(self) -> dict[str, int]:
        """Every width that an architecture lists -> its channels in the unpruned network, tied ones included."""
        return {**self.widths, **{name: self.widths[other] for name, other in self.tied.items()}}

    def cases(
        self, stage: str | None, block: int, source: ChannelSource, depths: Mapping[str, tuple[int, ...]]
    ) -> list["Case"]:
        """The ways in which what stands in a block can read a source; no two at once.

        Args:
            stage, block: Where it stands; a stage of None is always there.
            source: What it reads.
            depths: Those that each stage may keep.
        """
        if isinstance(source, str) and source in self.stages:
            ends = self.stages[source].ends
            return [Case(ends[depth - 1], source, (depth,)) for depth in depths[source]]
        if stage is None:
            return [Case(source)]
        kept = tuple(depth for depth in depths[stage] if depth > block)
        if kept == depths[stage]:
            return [Case(source)]
        return [Case(source, stage, kept)] if kept else []

    def place_of(self, path: str) -> tuple[str | None, int]:
        """The stage, and the block of it, that a module or parameter stands in; (None, 0) outside of all stages."""
        for name, stage in self.stages.items():
            for index, inside in enumerate(stage.paths()):
                if path == inside or path.startswith(f"{inside}."):
                    return name, index
        return None, 0

    def resolve(self, source: ChannelSource, depths: Mapping[str, int]) -> Width:
        """The width that a source stands for when the stages keep so many blocks."""
        if isinstance(source, str) and source in self.stages:
            return self.stages[source].ends[depths[source] - 1]
        return source

    def channels(self, width: Width) -> int:
        """How many channels a width has in the unpruned network."""
        return width if isinstance(width, int) else self.widths[width]


@dataclass(frozen=True)
class Case:
    """One way in which a layer can run: what it reads, and at which depths of which stage (None: at any)."""

    reads: Width
    stage: str | None = None
    depths: tuple[int, ...] = ()
