"""What each operation does to the channels of its inputs: one table from operation to rule.

A rule takes the reader, the node of the traced graph and the operation's own arguments, under torch's names for them,
and returns where the channels of the output come from. A new operation is one entry. What has no rule keeps the full
width of everything that it reads.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.fx import Node

from tas.reading.channels import Channels
from tas.reading.flow import Follower, Parameter, Value, shape, where
from tas.reading.plan import Segment
from tas.reading.sizes import computed, read_size, settle_sizes, sizes_in

Rule = Callable[..., Value]


def pass_on(read: Follower, node: Node, input: Node, *_: Any, **__: Any) -> Value:
    """Each channel by itself, in its place: activations, dropout, copies, softmax over what there is."""
    tensors = [item for item in node.all_input_nodes if "shape" in item.meta]
    return elementwise(read, node, *tensors) if len(tensors) > 1 else read.value(input)


def cast(read: Follower, node: Node, input: Node, *_: Any, **__: Any) -> Value:
    """To another type of number, perhaps that of another tensor."""
    return read.value(input)


def expand(read: Follower, node: Node, input: Node, *sizes: Any) -> Value:
    """Repetition along dimensions of size 1; the channels stay, unless the code says how many there are."""
    value = read.value(input)
    wanted = sizes_in(read, sizes)
    if not isinstance(value, Channels):
        kept = [
            size for size, length in zip(wanted, shape(node)) if isinstance(value, Parameter) and length == value.length
        ]
        return value if kept == [-1] else None
    result = value.moved(value.dim + len(wanted) - len(shape(input)))
    if isinstance(wanted[result.dim], int) and wanted[result.dim] != -1:
        return read.leave_alone(node, f"{where(node)} gives it a size written in the code, {wanted[result.dim]}")
    return settle_sizes(read, node, wanted, result)


def spatial(read: Follower, node: Node, input: Node, *arguments: Any, **named: Any) -> Value:
    """Pooling, padding and resizing of the last two dimensions, for each channel by itself."""
    value = read.value(input)
    if isinstance(value, Channels) and value.dim >= len(shape(input)) - 2:
        return read.leave_alone(node, f"{where(node)} works across it")
    return value


def pad(read: Follower, node: Node, input: Node, pad: Sequence[int], *_: Any, **__: Any) -> Value:
    """Padding of dimensions, the last first; channels that are padded stay full."""
    value = read.value(input)
    if isinstance(value, Channels) and 2 * (len(shape(input)) - value.dim) <= len(pad):
        return read.leave_alone(node, f"{where(node)} pads it")
    return value


def elementwise(read: Follower, node: Node, *_: Any, **__: Any) -> Value:
    """Sums, products and the like, broadcast: channels that meet are equally many from then on.

    A single channel that is broadcast over others, a gate, goes with however many they are.
    """
    tensors = [item for item in node.all_input_nodes if "shape" in item.meta]  # some may be given by name
    if not tensors:
        return computed(read, node)
    rank = len(shape(node))
    values = [(item, read.value(item)) for item in tensors]
    met = [
        (value.moved(value.dim + rank - len(shape(item))), shape(item)[value.dim])
        for item, value in values
        if isinstance(value, Channels)
    ]
    places = [place for place, length in met if length == shape(node)[place.dim]]
    if not places:
        return read.value(tensors[0]) if len(tensors) == 1 else None
    first, length = places[0], shape(node)[places[0].dim]
    if any(place.dim != first.dim for place in places):
        return read.leave_alone(node, f"{where(node)} joins it with another dimension")
    for place in places[1:]:
        read.widths.unify(first.segments, place.segments, f"{where(node)} joins it with channels of another make-up")
    for item, value in values:
        dim = first.dim - rank + len(shape(item))
        if isinstance(value, Channels) or dim < 0 or shape(item)[dim] == 1:
            continue
        if isinstance(value, Parameter) and shape(item)[dim] == length and value.length == length:
            read.add_parameter(value, first.segments)
        else:
            read.widths.freeze_all(first.segments, f"{where(node)} joins it with a tensor of fixed size")
    return first


def cat(read: Follower, node: Node, tensors: Sequence[Node], dim: int = 0, **named: Any) -> Value:
    """Concatenation: along the channels the parts stand one after another, along another dimension they are tied."""
    if isinstance(tensors, Node):
        return read.leave_alone(node, f"{where(node)} reads it as a tuple, for which TAS has no rule")
    dim = named.get("axis", dim) % len(shape(node))
    if all(read.value(item) is None for item in tensors):
        return None
    segments: list[Segment] = []
    for item in tensors:
        value = read.value(item)
        if isinstance(value, Channels) and value.dim != dim:
            return elementwise(read, node)
        segments += value.segments if isinstance(value, Channels) else [Segment(shape(item)[dim])]
    return Channels(dim, tuple(segments))


def reshape(read: Follower, node: Node, input: Node, *sizes: Any) -> Value:
    """As `reshaped`, unless the code says how many channels there are."""
    value = read.value(input)
    wanted = sizes_in(read, sizes)
    result = reshaped(read, node, input)
    if isinstance(result, Channels) and isinstance(wanted[result.dim], int) and wanted[result.dim] != -1:
        return read.leave_alone(node, f"{where(node)} gives it a size written in the code, {wanted[result.dim]}")
    if isinstance(value, Parameter) and any(size not in (1, -1) for size in wanted):
        return None
    return settle_sizes(read, node, wanted, result)


def reshaped(read: Follower, node: Node, input: Node, *_: Any, **__: Any) -> Value:
    """Channels C followed by P positions become C x P features, in one dimension of the output."""
    value = read.value(input)
    if not isinstance(value, Channels):
        return value
    before, after = shape(input), shape(node)
    outer, length = math.prod(before[: value.dim]), before[value.dim]
    for dim, size in enumerate(after):
        if math.prod(after[:dim]) == outer and size % length == 0:
            inner = math.prod(before[value.dim + 1 :])
            if math.prod(after[dim + 1 :]) * (size // length) == inner:
                return value.moved(dim).repeated(size // length)
    return read.leave_alone(node, f"{where(node)} breaks it up")


def permute(read: Follower, node: Node, input: Node, *dims: Any) -> Value:
    """Channels move with their dimension."""
    value = read.value(input)
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return value.moved([d % len(order) for d in order].index(value.dim)) if isinstance(value, Channels) else value


def transpose(read: Follower, node: Node, input: Node, dim0: int, dim1: int) -> Value:
    """Channels move with their dimension."""
    value = read.value(input)
    if not isinstance(value, Channels):
        return value
    first, second = dim0 % len(shape(input)), dim1 % len(shape(input))
    return value.moved({first: second, second: first}.get(value.dim, value.dim))


def reduce(read: Follower, node: Node, input: Node, dim: Any = None, *_: Any, **named: Any) -> Value:
    """A mean or sum over dimensions; over the channels themselves it leaves nothing that could change."""
    value, dim = read.value(input), named.get("axis", dim)
    if not isinstance(value, Channels) or dim is None:
        return None
    gone = {d % len(shape(input)) for d in ((dim,) if isinstance(dim, int) else dim)}
    if value.dim in gone:
        return None
    kept = len(shape(node)) == len(shape(input))
    return value if kept else value.moved(value.dim - sum(d < value.dim for d in gone))


def extremum(read: Follower, node: Node, input: Node, *arguments: Any, **named: Any) -> Value:
    """Of two tensors, element by element; or over a dimension, the numbers and where they stand."""
    dim = named.get("dim", arguments[0] if arguments else None)
    if "other" in named or isinstance(dim, Node):
        return elementwise(read, node)
    value = reduce(read, node, input, dim)
    return value if dim is None else (value, value)


def squeeze(read: Follower, node: Node, input: Node, dim: int | None = None) -> Value:
    """Channels move down past the dimensions that vanish."""
    value = read.value(input)
    if not isinstance(value, Channels):
        return value
    sizes = shape(input)
    gone = [d for d in ([dim % len(sizes)] if isinstance(dim, int) else range(len(sizes))) if sizes[d] == 1]
    return value.moved(value.dim - sum(d < value.dim for d in gone))


def unsqueeze(read: Follower, node: Node, input: Node, dim: int) -> Value:
    """Channels move up past the new dimension."""
    value = read.value(input)
    if not isinstance(value, Channels):
        return value
    return value.moved(value.dim + (dim % len(shape(node)) <= value.dim))


def chunk(read: Follower, node: Node, input: Node, chunks: int, dim: int = 0) -> Value:
    """Equal parts of a dimension; parts of the channels are equal if they come from one width."""
    value = read.value(input)
    pieces = len(node.meta["shape"])
    if not isinstance(value, Channels) or value.dim != dim % len(shape(input)):
        return (value,) * pieces
    segments = value.segments
    if len(segments) == pieces and len({(s.repeat, read.widths.size(s)) for s in segments}) == 1:
        # Equal parts stay equal parts if they have one width.
        for segment in segments[1:]:
            read.widths.unify(segments[:1], [segment], f"{where(node)} cuts it")
        return tuple(Channels(value.dim, (segment,)) for segment in segments)
    if len(segments) == 1 and segments[0].repeat % pieces == 0:
        # As a shuffle leaves them: which channel is in which piece depends on how many there are.
        read.widths.unorder(segments)
        return (Channels(value.dim, (Segment(segments[0].source, segments[0].repeat // pieces),)),) * pieces
    read.leave_alone(node, f"{where(node)} cuts it")
    return (None,) * pieces


def split(read: Follower, node: Node, input: Node, split_size: Any, dim: int = 0, **_: Any) -> Value:
    """Parts of a dimension, of sizes that the code says."""
    value = read.value(input)
    pieces = len(node.meta["shape"])
    if isinstance(value, Channels) and value.dim == dim % len(shape(input)):
        settle_sizes(read, node, split_size if isinstance(split_size, (tuple, list)) else [split_size], None)
        read.leave_alone(node, f"{where(node)} cuts it at a place written in the code")
        return (None,) * pieces
    return (value,) * pieces


def channel_shuffle(read: Follower, node: Node, input: Node, groups: int) -> Value:
    """Interleaves equal parts: channel i of each part becomes features i x groups and following."""
    value = read.value(input)
    if not isinstance(value, Channels):
        return value
    segments = value.segments
    if (
        len(segments) != groups
        or len({(s.repeat, read.widths.size(s)) for s in segments}) != 1
        or segments[0].repeat > 1
    ):
        return read.leave_alone(node, f"{where(node)} shuffles it")
    for segment in segments[1:]:
        read.widths.unify(segments[:1], [segment], f"{where(node)} shuffles it")
    return Channels(value.dim, (Segment(segments[0].source, groups),))


def getitem(read: Follower, node: Node, input: Node, index: Any) -> Value:
    """An entry of a tuple, or a part of a tensor that has all the channels."""
    value = read.value(input)
    if isinstance(value, tuple):
        return value[index]
    if isinstance(value, Parameter):  # numbers for the channels, brought to the dimensions of what they meet
        whole = all(
            entry in (None, Ellipsis, slice(None)) for entry in (index if isinstance(index, tuple) else (index,))
        )
        return value if whole else None
    if not isinstance(value, Channels):
        return None
    dim, result = 0, 0  # the dimension of the input that an entry indexes, the one of the output
    for entry in index if isinstance(index, tuple) else (index,):
        if entry is Ellipsis or isinstance(entry, Node):
            return read.leave_alone(node, f"{where(node)} takes a part of it")
        if dim == value.dim and entry is not None:
            if entry != slice(None):
                return read.leave_alone(node, f"{where(node)} takes a part of it")
            return value.moved(result)
        dim += entry is not None
        result += not isinstance(entry, int)
    return value.moved(result + value.dim - dim)


def metadata(read: Follower, node: Node, *arguments: Any, **__: Any) -> Value:
    """Shapes and types: numbers, read anew in each forward pass. What has a shape itself is none, x.mT for example."""
    if arguments[1:] == ("shape",):
        return read_size(read, node, arguments[0])
    if "shape" in node.meta:
        return read.leave_alone(node, f"{where(node)} reads it, for which TAS has no rule")
    return computed(read, node)


# By name: functions, methods and operators, which torch calls alike.
EACH_ALONE = """relu relu_ relu6 leaky_relu elu selu celu gelu silu mish sigmoid hardsigmoid hardswish hardtanh tanh
    softplus softsign logsigmoid clamp clip abs exp log sqrt rsqrt square neg pow erf sin cos round floor ceil dropout
    dropout2d alpha_dropout feature_dropout stochastic_depth contiguous clone detach
    sigmoid_ tanh_ clamp_ softmax log_softmax normalize"""
TOGETHER = """add add_ iadd radd sub sub_ isub rsub mul mul_ imul rmul div div_ truediv itruediv maximum minimum where
    addcmul lerp expand_as"""
IN_SPACE = "adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d max_pool2d lp_pool2d interpolate upsample"

RULES: dict[str, Rule] = {
    **dict.fromkeys(EACH_ALONE.split(), pass_on),
    **dict.fromkeys(TOGETHER.split(), elementwise),
    **dict.fromkeys(IN_SPACE.split(), spatial),
    **dict.fromkeys(("max", "min"), extremum),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "std", "var"), reduce),
    **dict.fromkeys(("to", "float", "half", "double", "bfloat16", "type", "type_as"), cast),
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    "size": read_size,
    **dict.fromkeys(("dim", "numel", "getattr", "len", "floordiv", "mod", "eq", "_assert"), metadata),
    "expand": expand,
    "reshape": reshape,
    "view": reshape,
    "pad": pad,
    "flatten": reshaped,
    "permute": permute,
    "transpose": transpose,
    "swapaxes": transpose,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "chunk": chunk,
    "split": split,
    "channel_shuffle": channel_shuffle,
    "getitem": getitem,
}

PASSING: tuple[type[nn.Module], ...] = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Tanh,
    nn.Softplus,
    nn.Softsign,
    nn.LogSigmoid,
    nn.Softmax,
    nn.Softmax2d,
    nn.LogSoftmax,
    nn.Dropout,
    nn.Dropout2d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
"""Modules that treat each channel by itself and have no parameters."""

SPATIAL: tuple[type[nn.Module], ...] = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Upsample,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
    nn.ConstantPad2d,
)
"""Modules that work on the last two dimensions, each channel by itself."""
