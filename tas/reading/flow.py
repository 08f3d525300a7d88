"""What is known of the values that flow through a traced network, and what the rules of reading ask of the reader."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch.fx import Node

from tas.reading.channels import Channels, Widths
from tas.reading.plan import Segment


class Parameter:
    """A bare parameter that has a number for each channel, in one of its dimensions."""

    def __init__(self, name: str, dim: int, length: int) -> None:
        self.name, self.dim, self.length = name, dim, length


@dataclass(frozen=True)
class Size:
    """A number of channels that the forward pass has read, or that it computes from such."""

    segments: tuple[Segment, ...]
    exact: bool = True
    """Whether it is the number of these features; else it depends on them in another way."""


Value = Channels | Parameter | Size | tuple[Any, ...] | None
"""What is known of the value at a node; None: no dimension of it can change."""


class Follower(Protocol):
    """What a rule needs of whoever follows the channels through a graph."""

    widths: Widths

    def value(self, item: Any) -> Value:
        """What is known of a node's value, under the names that widths have by now; None of anything else."""

    def leave_alone(self, node: Node, why: str) -> Value:
        """Freeze all that a node reads."""

    def add_parameter(self, parameter: Parameter, segments: tuple[Segment, ...]) -> None:
        """A bare parameter has a number for each of these features."""


def shape(node: Node) -> tuple[int, ...]:
    """The shape of the tensor at a node, for the batch that was traced."""
    return tuple(node.meta["shape"])


def where(node: Node) -> str:
    """An operation, and the module in whose forward pass it stands."""
    path = next(reversed(node.meta.get("nn_module_stack", {})), "")
    return f"{node.name} in {path}" if path else node.name
