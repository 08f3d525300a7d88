"""Numbers of channels that a forward pass reads, computes with, and gives to a reshape."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch.fx import Node

from tas.reading.channels import Channels
from tas.reading.flow import Follower, Size, Value, shape, where


def read_size(read: Follower, node: Node, input: Node, dim: int | None = None) -> Value:
    """`x.size()` and `x.shape`: of each dimension its size; of that with the channels, how many these are."""
    value = read.value(input)
    if not isinstance(value, Channels):
        return None
    sizes = tuple(Size(value.segments) if d == value.dim else None for d in range(len(shape(input))))
    return sizes if dim is None else sizes[dim]


def computed(read: Follower, node: Node) -> Value:
    """A number made of numbers: of one number of channels, by a fixed factor, it is known how it changes with these."""
    values = {item: read.value(item) for item in node.all_input_nodes}
    sizes = [value for value in values.values() if isinstance(value, Size)]
    if not sizes:
        return None
    segments = tuple(segment for size in sizes for segment in size.segments)
    called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    factors = [number_of(item) for item in node.args if not isinstance(values.get(item), Size)]  # type: ignore[arg-type]
    if len(sizes) == 1 and sizes[0].exact and len(node.args) == 2 and len(factors) == 1 and factors[0]:
        factor = factors[0]
        if called in ("mul", "rmul", "imul"):
            return Size(tuple(replace(s, repeat=s.repeat * factor) for s in segments))
        first = node.args[0] if isinstance(node.args[0], Node) else None
        if called == "floordiv" and first in values and all(s.repeat % factor == 0 for s in segments):
            return Size(tuple(replace(s, repeat=s.repeat // factor) for s in segments))
    return Size(segments, exact=False)


def number_of(item: Any) -> int | None:
    """A number in the code or, for the images that were traced, at a node; None of anything else."""
    number = item.meta.get("number") if isinstance(item, Node) else item
    return number if isinstance(number, int) else None


def sizes_in(read: Follower, arguments: Sequence[Any]) -> Sequence[Any]:
    """The sizes that a reshape is given, one after another, as a tuple, or as the shape of a tensor: whole numbers,
    nodes, or what is known of them."""
    if len(arguments) != 1:
        return arguments
    (whole,) = arguments
    known = read.value(whole)
    return known if isinstance(known, tuple) else whole if isinstance(whole, (tuple, list)) else arguments


def settle_sizes(read: Follower, node: Node, sizes: Sequence[Any], result: Value) -> Value:
    """What goes on after channels were given sizes that the forward pass has read.

    Where the size of their dimension is a number of channels, both are equally many from then on. What else has such a
    number for its size keeps those channels full, and is left alone itself.

    Args:
        read: The reader.
        node: The operation.
        sizes: Of each dimension of the result, as `sizes_in` gives them.
        result: What the operation makes of its input's channels.
    """
    for dim, item in enumerate(sizes):
        size = read.value(item) if isinstance(item, Node) else item
        if not isinstance(size, Size):
            if not isinstance(item, int) and isinstance(result, Channels) and dim == result.dim:
                result = read.leave_alone(node, f"{where(node)} gives it a size that stays the same")
            continue
        if isinstance(result, Channels) and dim == result.dim and size.exact:
            read.widths.unify(result.segments, size.segments, f"{where(node)} gives it the size of other channels")
        else:
            read.widths.freeze_all(size.segments, f"{where(node)} gives something its size")
            result = read.leave_alone(node, f"{where(node)} gives it a size of other channels")
    return result
