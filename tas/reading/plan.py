"""What a network is made of: the one description behind cost, supernet and the cutting of smaller networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Source = str | int
"""Where a number of channels comes from: a width, a stage (its output), or a fixed number."""
Width = str | int
"""A source that no depth changes: a width, named for the first layer that writes it, or a fixed number of channels."""


@dataclass(frozen=True)
class Segment:
    """Consecutive features that come from one source."""

    source: Source
    repeat: int = 1
    """Features for each channel of the source: H x W after a flatten, else 1 nearly always."""


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, and where the numbers of its channels come from."""

    name: str
    kernel: int
    """Weights for each pair of an input and an output channel: kernel height x width, 1 for a linear layer."""
    positions: int
    """Places at which the kernel is applied: output height x width (1 for a linear layer after pooling)."""
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


@dataclass(frozen=True)
class Channelwise:
    """A module or a bare parameter that treats every channel by itself, and so has as many as it is given."""

    name: str
    segments: tuple[Segment, ...]
    dim: int
    """The dimension that has the channels: of the module's input, or of the bare parameter."""
    bare: bool = False
    """Whether it is a parameter of a module that does other things too."""


@dataclass(frozen=True)
class Stage:
    """Consecutive blocks of which the later ones can be left out."""

    container: str
    """The module whose children the blocks are."""
    blocks: tuple[str, ...]
    """The children's names, in forward order."""
    ends: tuple[Width, ...] = ()
    """Where the blocks' outputs have widths of their own: the width of each. Else all have the same channels."""


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
    tied: Mapping[str, str] = field(default_factory=dict)
    """Width that an architecture lists, but that is always equal to another -> that one, which is in `widths`."""

    def depths(self) -> dict[str, int]:
        """Stage -> blocks of the unpruned network."""
        return {name: len(stage.blocks) for name, stage in self.stages.items()}

    def all_widths(self) -> dict[str, int]:
        """Every width that an architecture lists -> its channels in the unpruned network, tied ones included."""
        return {**self.widths, **{name: self.widths[other] for name, other in self.tied.items()}}

    def cases(self, layer: Layer, source: Source, depths: Mapping[str, tuple[int, ...]]) -> list["Case"]:
        """The ways in which a layer can read a source, given the depths that each stage may keep; no two at once."""
        if isinstance(source, str) and source in self.stages:
            ends = self.stages[source].ends
            return [Case(ends[depth - 1], source, (depth,)) for depth in depths[source]]
        if layer.stage is None:
            return [Case(source)]
        kept = tuple(depth for depth in depths[layer.stage] if depth > layer.block)
        if kept == depths[layer.stage]:
            return [Case(source)]
        return [Case(source, layer.stage, kept)] if kept else []

    def resolve(self, source: Source, depths: Mapping[str, int]) -> Width:
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
