"""The graph of a network's forward pass, by torch.fx, with the shape of everything in it."""

import functools
import linecache
import operator
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node
from torchvision.models.shufflenetv2 import channel_shuffle

from tas.errors import TasError, gist
from tas.reading.layer_calls import COUNTED, IMAGES, dtype_of

BatchNorm = nn.modules.batchnorm._BatchNorm
WHOLE = (*COUNTED, BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.PReLU)
"""Modules that are one operation also where a user's class is derived from them."""


class Tracer(fx.Tracer):
    """torch.fx's tracer, which also runs what it notes, so that code may branch by sizes and compute with them.

    The branches are those of the images' size and of the unpruned network; whether a smaller network takes others, the
    checks of a space and of its supernet find out. Modules that TAS makes smaller as a whole stay whole.

    Args:
        images: On the meta device, as the network is.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__(autowrap_functions=(channel_shuffle,))
        self.images = images
        self.values: dict[Node, Any] = {}
        self.running = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, WHOLE) or super().is_leaf_module(m, module_qualified_name)

    def path_of_module(self, mod: nn.Module) -> str:
        """Its first name, where it has several."""
        return self.first_names.get(mod) or super().path_of_module(mod)

    @functools.cached_property
    def first_names(self) -> dict[nn.Module, str]:
        """Module -> the first of its names."""
        return {module: name for name, module in self.root.named_modules()}

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """The images alone: whatever else the forward pass takes keeps its default."""
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]

    def proxy(self, node: Node) -> "StandIn":
        """What stands for a node's value in the code."""
        return StandIn(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> Node:
        """A node, and what it gives."""
        node = super().create_node(*args, **kwargs)
        value = self.values[node] = self.run(node)
        if isinstance(value, Tensor):
            node.meta["shape"] = tuple(value.shape)
        elif isinstance(value, (tuple, list)) and all(isinstance(item, Tensor) for item in value):
            node.meta["shape"] = tuple(tuple(item.shape) for item in value)
        elif isinstance(value, int):
            node.meta["number"] = value
        return node

    def run(self, node: Node) -> Any:
        """What a node gives for the images."""
        if node.op == "placeholder":
            return self.images
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda item: self.values[item])
        if node.op == "output":
            return args[0]
        target: Any = node.target
        before, self.running = self.running, True
        try:
            if node.op == "get_attr":
                return functools.reduce(getattr, target.split("."), self.root)
            if node.op == "call_function":
                return target(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            return self.root.get_submodule(target)(*args, **kwargs)
        finally:
            self.running = before

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Modules that are run are not noted."""
        return forward(*args, **kwargs) if self.running else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Nor are the parameters that they read."""
        return attr_val if self.running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """By numbers code may decide; by tensors it would decide by the images."""
        value = self.values[obj.node]
        return super().to_bool(obj) if isinstance(value, Tensor) else bool(value)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """The entries of a tuple, or of a tensor's first dimension if that is not the images'."""
        value = self.values[obj.node]
        if isinstance(value, (tuple, list)) or (isinstance(value, Tensor) and len(value) % IMAGES):
            return iter([obj[index] for index in range(len(value))])  # type: ignore[index]
        return super().iter(obj)


class StandIn(fx.Proxy):
    """What stands for a value in the code that is traced. As a plain number it is that for the images."""

    tracer: Tracer

    def __getattr__(self, name: str) -> "StandInAttribute":
        return StandInAttribute(self, name)

    def __setitem__(self, place: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, place, value), {})

    @property
    def number(self) -> Any:
        """The number that it stands for. TraceError if it is none."""
        value = self.tracer.values[self.node]
        if isinstance(value, (int, float)):
            return value
        raise fx.proxy.TraceError("a number is made of what is none")

    def __int__(self) -> int:
        return int(self.number)

    def __index__(self) -> int:
        return operator.index(self.number)

    def __float__(self) -> float:
        return float(self.number)

    def __len__(self) -> int:
        value = self.tracer.values[self.node]
        return len(value) if isinstance(value, (tuple, list)) else super().__len__()


class StandInAttribute(StandIn, fx.proxy.Attribute):
    """An attribute of a stand-in, or its method, once it is called."""


def trace(network: nn.Module, input_shape: Sequence[int], name: str) -> fx.Graph:
    """The graph of the forward pass of a network on the meta device, with shapes. TasError where that fails."""
    images = torch.empty(IMAGES, *input_shape, device="meta", dtype=dtype_of(network))
    try:
        with torch.no_grad(), torch.device("meta"):
            tracer = Tracer(images)
            graph = tracer.trace(network)
            result = tracer.values[next(reversed(graph.nodes))]
    except Exception as error:  # whatever the user's code raises when its input is a stand-in
        check_runs(network, images, name)
        raise TasError(f"{name} cannot be read: {untraced(error)}{place_of(error)}") from None
    check_logits(result, name, "gives")
    try:
        with torch.no_grad(), torch.device("meta"):
            result = network.train()(images)
    except Exception:  # a training pass may draw numbers and decide by them, which stand-ins do not allow
        return graph  # what is wrong with it otherwise, `check_supernet` says
    finally:
        network.eval()
    check_logits(result, name, "in training gives")
    return graph


MISTAKES = (AttributeError, NameError, NotImplementedError, TypeError)
"""What a forward pass raises that takes no images at all."""


def check_runs(network: nn.Module, images: Tensor, name: str) -> None:
    """TasError if a network on the meta device cannot be run on images there, so that tracing is not to blame."""
    try:
        with torch.no_grad(), torch.device("meta"):
            network(images)
    except Exception as error:  # whatever the user's code raises
        why = reason(error) or type(error).__name__
        if "meta" in why.lower():  # it asks for numbers, which the meta device does not have: images may be fine
            return
        if isinstance(error, MISTAKES):
            raise TasError(f"{name} cannot be read: {why}{place_of(error)}") from None
        size = "x".join(map(str, images.shape[1:]))
        raise TasError(f"{name} does not take images of {size} (channels, height, width): {why}") from None


def untraced(error: Exception) -> str:
    """Why a network that runs cannot be traced. What its code says of torch.fx's stand-ins, Proxies, is no help."""
    if isinstance(error, fx.proxy.TraceError):
        return "its forward pass depends on the data"
    why = reason(error) or type(error).__name__
    return "torch.fx cannot follow its forward pass" if "Proxy" in why else why


def check_logits(result: object, name: str, gives: str) -> None:
    """TasError unless a forward pass of the traced batch gave logits."""
    if not (isinstance(result, Tensor) and result.dim() == 2 and len(result) == IMAGES):
        raise TasError(f"{name} {gives} {kind_of(result)}; it must give one tensor of logits, (images, classes)")


def reason(error: Exception) -> str:
    """What an exception says, as the start of one line. torch.fx adds where in the graph it was; that is left out."""
    return gist(Exception(str(error).split("\n\nWhile executing")[0]))


def place_of(error: Exception) -> str:
    """The line of the user's code that an exception came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
    frames = [f for f in frames if f.filename != __file__]
    if not frames or frames[-1].lineno is None:
        return ""
    last = frames[-1]
    return f" ({last.filename}:{last.lineno}: {linecache.getline(last.filename, last.lineno or 0).strip():.80})"


def kind_of(result: object) -> str:
    """A network's result in a few words."""
    if isinstance(result, Tensor):
        return f"a tensor of shape {tuple(result.shape)} for {IMAGES} images"
    return f"a {type(result).__name__.removeprefix('immutable_')}"  # torch.fx has its own dict and list
