"""The times of a network's layers by themselves, at the widths that a search chooses between."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from itertools import product

import torch
from torch import nn
from torch.utils.benchmark import Timer

from tas.cost.latency import LayerGrid, channels_read
from tas.reading.plan import Layer
from tas.space.space import SearchSpace
from tas.timing.layer_kinds import LayerKind
from tas.timing.setting import Setting

SIDE = 8
"""Widths at each end of a layer at which it is measured, at most, evenly spaced; between them is interpolated."""

BLOCKS = 5
"""Measurements of a layer, of which the least counts: other work on the machine only adds to it."""

BLOCK_SECONDS = 1e-3
"""How long each takes, at least."""

Point = tuple[LayerKind, int, int]
"""A layer: its kind, inputs that an output channel reads, outputs."""


def layer_grids(
    network: nn.Module,
    space: SearchSpace,
    setting: Setting,
    known: MutableMapping[str, float],
    progress: Callable[[Sequence[str]], Iterable[str]],
) -> dict[str, LayerGrid]:
    """The times of all layers at the widths of a space.

    Args:
        network: The unpruned one; it tells linear layers.
        space: Its candidates.
        setting: What is measured on.
        known: Times measured before, by `key_of_layer`, in seconds; those that are missing are measured and added.
        progress: Shows how far measuring has come, as tqdm does.
    """
    modules, plan = dict(network.named_modules()), space.plan
    axes: dict[str, tuple[LayerKind, list[int], list[int]]] = {}
    for layer in plan.layers:
        linear = isinstance(modules.get(layer.name), nn.Linear) or len(layer.resolution) not in (1, 2, 3)
        axes[layer.name] = (
            LayerKind.of(layer, plan, linear),
            inputs_measured(layer, space),
            outputs_measured(layer, space),
        )
    points = {
        key_of_layer(kind, *pair): (kind, *pair)
        for kind, inputs, outputs in axes.values()
        for pair in product(inputs, outputs)
    }
    missing = [key for key in points if key not in known]
    with torch.random.fork_rng(devices=[]):
        for key in progress(missing) if missing else ():
            known[key] = time_of(*points[key], setting)
    return {
        name: LayerGrid(
            tuple(inputs),
            tuple(outputs),
            tuple(tuple(known[key_of_layer(kind, one, other)] for other in outputs) for one in inputs),
        )
        for name, (kind, inputs, outputs) in axes.items()
    }


def key_of_layer(kind: LayerKind, inputs: int, outputs: int) -> str:
    """A layer as a key in files."""
    return f"{kind} {inputs} {outputs}"


def time_of(kind: LayerKind, inputs: int, outputs: int, setting: Setting) -> float:
    """The time of a layer, in seconds."""
    layer, given = kind.made(inputs, outputs, setting.batch)
    call, times = setting.layer_call(layer, given)
    timer = Timer("call()", globals={"call": call}, num_threads=setting.threads)
    number = max(1, int(BLOCK_SECONDS / timer.timeit(1).median))
    return float(min(timer.timeit(number).median for _ in range(BLOCKS))) / times


def inputs_measured(layer: Layer, space: SearchSpace) -> list[int]:
    """Numbers of channels that an output channel may read, ascending; of several parts together the full number."""
    if len(layer.reads) > 1:
        return [sum(channels_read(space.plan, layer))]
    (segment,) = layer.reads
    stage = space.plan.stages.get(str(segment.source))
    sources: Sequence[str | int] = [segment.source] if stage is None else stage.ends
    return spaced({segment.repeat * one for source in sources for one in candidates_of(source, space.widths)})


def outputs_measured(layer: Layer, space: SearchSpace) -> list[int]:
    """Numbers of output channels, ascending."""
    return spaced({layer.writes.repeat * one for one in candidates_of(layer.writes.source, space.widths)})


def candidates_of(source: str | int, widths: Mapping[str, Sequence[int]]) -> Sequence[int]:
    """Those of a width, or the fixed number."""
    return (source,) if isinstance(source, int) else widths[source]


def spaced(numbers: set[int]) -> list[int]:
    """`SIDE` of the numbers at most, the ends among them, ascending."""
    ordered = sorted(numbers)
    if len(ordered) <= SIDE:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (SIDE - 1))] for place in range(SIDE)]
