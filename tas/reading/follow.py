"""Reading any network: its graph is traced by torch.fx, and its channels are followed through it."""

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import fx, nn
from torch.fx import Node

from tas.errors import TasError
from tas.reading.channels import Channels, Widths
from tas.reading.flow import Parameter, Size, Value, shape
from tas.reading.graph import BatchNorm, reason, trace
from tas.reading.layer_calls import COUNTED, LayerCall, without_storage
from tas.reading.plan import Channelwise, Layer, Plan, Segment
from tas.reading.rules import PASSING, RULES, SPATIAL, pass_on, reshaped, spatial
from tas.reading.rules import channel_shuffle as shuffle_rule
from tas.reading.stages import find_stages


def read_traced(network: nn.Module, input_shape: Sequence[int], name: str) -> Plan:
    """The plan of any network. Arguments and errors as for `tas.reading.readers.read_plan`."""
    check_single_parameters(network, name)
    try:
        twin = without_storage(network)
    except Exception as error:  # whatever the user's classes raise
        raise TasError(f"{name} cannot be copied: {reason(error)}") from None
    reader = GraphFollower(trace(twin, input_shape, name), twin, name)
    for node in reader.graph.nodes:
        reader.values[node] = reader.visit(node)
    return reader.plan()


def check_single_parameters(network: nn.Module, name: str) -> None:
    """TasError if two modules have a parameter in common. A module that has two names goes by the first."""
    homes: dict[nn.Parameter, str] = {}
    for path, module in network.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            full = f"{path}.{key}".lstrip(".")
            if homes.setdefault(parameter, full) != full:
                raise TasError(f"{name} cannot be read: {homes[parameter]} and {full} are one parameter")


class GraphFollower:
    """Follows channels through a traced graph, node by node, and notes the layers that it meets.

    Args:
        graph: The graph, with shapes.
        network: What it is the graph of.
        name: What errors call the network.
    """

    def __init__(self, graph: fx.Graph, network: nn.Module, name: str) -> None:
        self.graph = graph
        self.modules = dict(network.named_modules())
        self.tensors = network.state_dict()
        self.name = name
        self.widths = Widths()
        self.values: dict[Node, Value] = {}
        self.layers: list[Layer] = []
        self.channelwise: list[Channelwise] = []
        self.bare: dict[str, tuple[Segment, ...]] = {}
        """Bare parameter -> the features that it has numbers for."""
        self.repeated: set[str] = set()
        """Layers that stand in several places."""

    def value(self, item: Any) -> Value:
        """What is known of a node's value, under the names that widths have by now; None of anything else."""
        return self.settled(self.values.get(item)) if isinstance(item, Node) else None

    def settled(self, value: Value) -> Value:
        """A value under the names that widths have by now; None where nothing of it can change any more."""
        if isinstance(value, tuple):
            return tuple(self.settled(part) for part in value)
        if isinstance(value, Channels | Size):
            value = replace(value, segments=self.widths.settled(value.segments))
            if all(isinstance(segment.source, int) for segment in value.segments):
                return None
        return value

    def leave_alone(self, node: Node, why: str) -> Value:
        """Freeze all that a node reads."""
        for item in node.all_input_nodes:
            value = self.value(item)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Channels):
                    self.widths.freeze_all(part.segments, why)
        return None

    def visit(self, node: Node) -> Value:
        """Where the channels of a node's value come from."""
        if node.op == "placeholder":
            return None
        if node.op == "get_attr":
            return self.attribute(node)
        if node.op == "output":
            return self.leave_alone(node, "it is the network's output")
        if node.op == "call_module":
            return self.module(node, str(node.target), self.modules[str(node.target)])
        called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        return self.apply(RULES.get(called), node, f"{called} reads it, for which TAS has no rule")

    def apply(self, rule: Callable[..., Value] | None, node: Node, why_not: str) -> Value:
        """The rule's answer; without a rule, or where its arguments are not those of torch, all is left alone.

        What a rule that takes the arguments then raises is a bug of it, and is seen.
        """
        if rule is None:
            return self.leave_alone(node, why_not)
        try:
            inspect.signature(rule).bind(self, node, *node.args, **node.kwargs)
        except TypeError:
            return self.leave_alone(node, why_not)
        return rule(self, node, *node.args, **node.kwargs)

    def attribute(self, node: Node) -> Value:
        """A bare parameter or buffer: of interest if it is a vector along one dimension."""
        long = [dim for dim, size in enumerate(node.meta.get("shape", ())) if size > 1]
        if len(long) != 1 or str(node.target) not in self.tensors:
            return None
        return Parameter(str(node.target), long[0], shape(node)[long[0]])

    def add_parameter(self, parameter: Parameter, segments: tuple[Segment, ...]) -> None:
        """A bare parameter has a number for each of these features."""
        known = self.bare.setdefault(parameter.name, segments)
        if known is not segments:
            self.widths.unify(known, segments, f"{parameter.name} goes with other channels elsewhere, too")
            return
        self.channelwise.append(Channelwise(parameter.name, segments, parameter.dim, bare=True))

    def module(self, node: Node, name: str, module: nn.Module) -> Value:
        """The rule of a module, by its class."""
        source = next(iter((*node.args, *node.kwargs.values())), None)
        value = self.value(source)
        if isinstance(module, COUNTED):
            return self.counted(node, name, module, value)
        if isinstance(source, Node) and isinstance(module, PASSING):
            return pass_on(self, node, source)
        if isinstance(source, Node) and isinstance(module, SPATIAL):
            return spatial(self, node, source)
        if isinstance(value, Channels) and isinstance(source, Node):
            if isinstance(module, nn.Flatten):
                return reshaped(self, node, source)
            if isinstance(module, nn.ChannelShuffle):
                return shuffle_rule(self, node, source, module.groups)
            if self.is_channelwise(name, module, value, source):
                return value
        kind = type(module).__name__
        return self.leave_alone(node, f"{name} reads it, and TAS cannot make a {kind} smaller")

    def is_channelwise(self, name: str, module: nn.Module, value: Channels, source: Node) -> bool:
        """Whether a norm or the like treats each of these channels by itself; if so, it is noted."""
        rank, segments = len(shape(source)), value.segments
        features = sum(map(self.widths.size, segments))
        if isinstance(module, nn.PReLU) and module.num_parameters == 1:
            return True
        own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if any(tensor.dim() > 0 and len(tensor) != features for tensor in own):
            return False
        if isinstance(module, BatchNorm | nn.modules.instancenorm._InstanceNorm | nn.PReLU):
            if value.dim != 1:
                return False
            if self.norm_of_a_layer(name, module, source):
                return True
        elif isinstance(module, nn.GroupNorm):
            if value.dim != 1 or len(segments) > 1:
                return False
            self.widths.require_unit(segments[0], module.num_groups)
            if module.num_groups > 1:
                self.widths.unorder(segments)
        elif isinstance(module, nn.LayerNorm):
            last = value.dim == rank - 1 or type(module) is not nn.LayerNorm
            if not last or module.normalized_shape != (features,):
                return False
        else:
            return False
        return self.add_channelwise(Channelwise(name, segments, value.dim))

    def add_channelwise(self, item: Channelwise) -> bool:
        """Note a module that treats every channel by itself; where it did so before, of channels that are equally many.

        Returns:
            True.
        """
        known = next((other for other in self.channelwise if other.name == item.name), None)
        if known is None:
            self.channelwise.append(item)
        elif known.dim == item.dim:
            self.widths.unify(known.segments, item.segments, f"{item.name} treats other channels elsewhere, too")
        else:
            raise self.used_twice(item.name)
        return True

    def used_twice(self, name: str) -> TasError:
        """That a module stands in places that cannot have it both."""
        return TasError(f"{self.name} cannot be read: its module {name!r} is used in several places")

    def norm_of_a_layer(self, name: str, module: nn.Module, source: Node) -> bool:
        """Whether a batch norm alone reads a layer with a width of its own; if so, it is noted as that layer's."""
        if not (is_plain_batch_norm(module) and source.op == "call_module" and len(source.users) == 1):
            return False
        if source.target in self.repeated:
            return False
        if any(layer.norm == name and layer.name != source.target for layer in self.layers):
            raise self.used_twice(name)
        for index, layer in enumerate(self.layers):
            if layer.name == source.target and layer.writes == Segment(layer.name) and layer.norm in (None, name):
                self.layers[index] = replace(layer, norm=name)
                return True
        return False

    def counted(self, node: Node, name: str, module: nn.Module, value: Value) -> Value:
        """A convolution or linear layer: its outputs are a new width or, with groups, follow its inputs."""
        given = next((item for item in node.all_input_nodes if "shape" in item.meta), node)
        call = LayerCall.of(name, module, shape(given), shape(node))
        outputs = call.out_channels
        dim = 1 if isinstance(module, nn.Conv2d) else len(shape(node)) - 1
        layer = Layer(
            *(name, call.kernel, call.resolution, (Segment(call.in_channels),), Segment(name)),
            stride=call.stride,
            groups=call.groups,
            bias=call.bias,
        )
        if not isinstance(module, nn.Conv2d | nn.Linear):
            self.leave_alone(node, f"{name} reads it, and TAS cannot make a {type(module).__name__} smaller")
            self.layers.append(replace(layer, writes=Segment(outputs)))
            return None
        if any(known.name == name for known in self.layers):
            return self.counted_again(node, layer, dim, value)
        if module._parameters.keys() != {"weight", "bias"} or module._buffers:
            why = f"{name} has other parameters than a weight and a bias"
            self.leave_alone(node, why)
            self.widths.new(name, outputs)
            self.widths.freeze(name, why)
            self.layers.append(layer)
            return None
        if isinstance(value, Channels) and value.dim != dim:
            self.leave_alone(node, f"{name} works across another dimension")
            value = None
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            return self.grouped(node, layer, module, value)
        reads = value.segments if isinstance(value, Channels) else layer.reads
        self.widths.new(name, outputs)
        self.layers.append(replace(layer, reads=reads))
        return Channels(dim, (Segment(name),))

    def counted_again(self, node: Node, layer: Layer, dim: int, value: Value) -> Value:
        """A layer that stands in a further place reads as many channels there, and costs as much again."""
        places = [index for index, known in enumerate(self.layers) if known.name == layer.name]
        self.repeated.add(layer.name)
        if layer.groups > 1:
            self.leave_alone(node, f"{layer.name} reads other channels elsewhere, too")
            for index in places:
                known = self.layers[index]
                self.widths.freeze_all((*known.reads, known.writes), f"{layer.name} stands in several places")
                self.layers[index] = replace(known, resolution=(known.positions + layer.positions,))
            return None
        (index,) = places
        known = self.layers[index]
        if known.norm is not None:  # it is not the only one to read the layer
            self.channelwise.append(Channelwise(known.norm, (known.writes,), 1))
        reads = value.segments if isinstance(value, Channels) and value.dim == dim else layer.reads
        if isinstance(value, Channels) and value.dim != dim:
            self.leave_alone(node, f"{layer.name} works across another dimension")
        self.widths.unify(known.reads, reads, f"{layer.name} reads other channels elsewhere, too")
        self.layers[index] = replace(known, norm=None, resolution=(known.positions + layer.positions,))
        return Channels(dim, (known.writes,)) if isinstance(known.writes.source, str) else None

    def grouped(self, node: Node, layer: Layer, conv: nn.Conv2d, value: Value) -> Value:
        """A grouped convolution loses whole groups, so that its outputs are as many as its inputs allow."""
        inputs = conv.in_channels // conv.groups
        if (
            not isinstance(value, Channels)
            or conv.out_channels % conv.in_channels
            or any(self.widths.size(segment) % inputs for segment in value.segments)
        ):
            self.leave_alone(node, f"{layer.name} has groups that it does not fill")
            self.layers.append(replace(layer, writes=Segment(conv.out_channels)))
            return None
        for segment in value.segments:
            self.widths.require_unit(segment, inputs)
        self.add_channelwise(Channelwise(layer.name, value.segments, 1))
        result = value.repeated(conv.out_channels // conv.in_channels)
        for segment in result.segments:
            self.layers.append(replace(layer, writes=segment))
        return result

    def plan(self) -> Plan:
        """What was found, under the final names of the widths."""
        settled = self.widths.settled
        layers = [replace(x, reads=settled(x.reads), writes=self.widths.settle(x.writes)) for x in self.layers]
        # A norm whose layer turned out to have a fixed width has nothing to choose.
        layers = [replace(x, norm=None) if isinstance(x.writes.source, int) else x for x in layers]
        channelwise = [replace(x, segments=settled(x.segments)) for x in self.channelwise]
        channelwise = [x for x in channelwise if any(isinstance(s.source, str) for s in x.segments)]
        searched = {str(x.writes.source) for x in layers if isinstance(x.writes.source, str)}
        widths = {name: count for name, count in self.widths.channels.items() if name in searched}
        stages = find_stages(self.graph, self.modules, self.values, self.widths, self.repeated)
        frozen = {
            name: self.widths.frozen[self.widths.find(name)]
            for name in self.widths.channels
            if self.widths.find(name) in self.widths.frozen
        }
        if not widths and not stages:
            found = Counter(type(module).__name__ for module in self.modules.values() if not list(module.children()))
            kinds = ", ".join(f"{count} {kind}" for kind, count in found.most_common(4)) or "no modules"
            why = "".join(f"; {layer}: {why}" for layer, why in list(frozen.items())[:1])
            raise TasError(
                f"{self.name} has nothing to search: no width or depth of it can be smaller (found {kinds}){why}"
            )
        logits = next(shape(node.all_input_nodes[0])[1] for node in self.graph.nodes if node.op == "output")
        units = {name: self.widths.units[name] for name in widths if self.widths.units[name] > 1}
        unordered = frozenset(self.widths.find(name) for name in self.widths.unordered) & widths.keys()
        plan = Plan((), stages, widths, logits, tuple(channelwise), units, unordered, frozen)
        places = [plan.place_of(layer.name) for layer in layers]
        placed = [replace(layer, stage=stage, block=block) for layer, (stage, block) in zip(layers, places)]
        return replace(plan, layers=tuple(placed))


def is_plain_batch_norm(module: nn.Module) -> bool:
    """A batch norm that keeps statistics and has scales, or timm's that also has the activation as its children."""
    if not (isinstance(module, BatchNorm) and module.affine and module.track_running_stats):
        return False
    if "forward" in vars(module):  # it does something else than its class
        return False
    plain = type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
    return plain or [name for name, _ in module.named_children()] == ["drop", "act"]
