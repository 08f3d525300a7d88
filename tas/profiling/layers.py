"""Which layers take the time: each module that has no parts is a range of torch's profiler."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from tas.timing.conditions import name_of_device

MARK = "tas.profiling"
"""What the names of the ranges begin with."""

PASSES = 7
"""Of each network, by turns."""

BETWEEN = "(between layers)"
"""What a forward pass does outside of its layers: sums, functions, and the steps of Python."""


@dataclass(frozen=True)
class LayerTime:
    """What a layer takes in a forward pass, while the profiler looks, in seconds: the median of some passes."""

    name: str
    kind: str
    """Its class."""
    before: float | None
    """In the first network; None: it is not in it."""
    after: float | None
    """In the second, likewise."""


@dataclass(frozen=True)
class LayerTable:
    """The layers of one network, or of two beside each other, those that take longest first."""

    device: str
    images: int
    layers: tuple[LayerTime, ...]
    """All layers, and `BETWEEN`."""

    def total(self, side: str) -> float:
        """The sum over all layers, in seconds; the side is before or after."""
        return sum(getattr(layer, side) or 0.0 for layer in self.layers)

    def kinds(self, side: str) -> dict[str, float]:
        """Class of layers -> its share of the time, the largest first."""
        sums: dict[str, float] = defaultdict(float)
        for layer in self.layers:
            sums[layer.kind] += getattr(layer, side) or 0.0
        return layer_shares(sums)

    def holding(self, side: str, share: float = 0.5) -> dict[str, float]:
        """Layer -> its share of the time: the fewest layers that together hold so much of it."""
        held, enough = dict[str, float](), 0.0
        for name, part in layer_shares({layer.name: getattr(layer, side) or 0.0 for layer in self.layers}).items():
            if enough >= share:
                break
            held[name] = part
            enough += part
        return held


def layer_shares(times: Mapping[str, float]) -> dict[str, float]:
    """Name -> its share of all, the largest first; those of nothing are left out."""
    total = sum(times.values())
    ordered = sorted(times.items(), key=lambda item: -item[1])
    return {name: time / total for name, time in ordered if time > 0}


def layer_times(networks: Sequence[nn.Module], images: Tensor) -> LayerTable:
    """The time of every layer of one network or two, as PyTorch runs them, operation by operation.

    On a GPU it is that of the kernels which a layer starts, without the gaps between them.

    Args:
        networks: In eval mode, where the images are.
        images: (N, C, H, W).
    """
    device = images.device
    activities = [ProfilerActivity.CPU]
    if device.type != "cpu":
        activities.append(getattr(ProfilerActivity, device.type.upper()))
    # Else it says as an error, below the tables, that a machine without a GPU has none.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    order = list(enumerate(networks))
    with torch.inference_mode():
        for network in networks:
            network(images)
        with profile(activities=activities, acc_events=True) as profiler:
            for turn in range(PASSES):
                for side, network in order:
                    with ranges(network, f"{MARK}|{side}|{turn}"):
                        network(images)
                order.reverse()
            if device.type != "cpu":
                torch.accelerator.synchronize()
    times = [per_layer(profiler.events(), side, device) for side in range(len(networks))]
    kinds = [{name: type(module).__name__ for name, module in network.named_modules()} for network in networks]
    names = dict.fromkeys(name for found in times for name in found)
    rows = [
        LayerTime(
            name,
            next((kind[name] for kind in kinds if name in kind), BETWEEN),
            times[0].get(name),
            times[1].get(name) if len(times) > 1 else None,
        )
        for name in names
    ]
    rows.sort(key=lambda row: -max(row.before or 0.0, row.after or 0.0))
    return LayerTable(name_of_device(device), len(images), tuple(rows))


@contextmanager
def ranges(network: nn.Module, mark: str) -> Iterator[None]:
    """Have the profiler see, inside, each module without parts as a range MARK|NAME, and the whole as MARK|."""
    opened: list[record_function] = []

    def opening(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, *given: Any) -> None:
            opened.append(record_function(f"{mark}|{name}"))
            opened[-1].__enter__()  # type: ignore[no-untyped-call]

        return hook

    def closing(module: nn.Module, *given: Any) -> None:
        opened.pop().__exit__(None, None, None)

    handles = []
    for name, module in network.named_modules():
        if name and not list(module.children()):
            handles += [module.register_forward_pre_hook(opening(name)), module.register_forward_hook(closing)]
    try:
        with record_function(f"{mark}|"):
            yield
    finally:
        for handle in handles:
            handle.remove()


def per_layer(events: Any, side: int, device: torch.device) -> dict[str, float]:
    """Layer -> the median over all passes of its time, in seconds; `BETWEEN` has what is left of the whole.

    Args:
        events: The profiler's, with the ranges of `ranges`.
        side: Which network.
        device: Where it ran.
    """
    passes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for event in events:
        # On a GPU a range has a twin among the kernels; that of the processor knows which kernels it started.
        if event.name.startswith(f"{MARK}|{side}|") and event.device_type.name == "CPU":
            _, _, turn, name = event.name.split("|", 3)
            time = event.cpu_time_total if device.type == "cpu" else event.device_time_total
            passes[turn][name] += time / 1e6
    for found in passes.values():
        found[BETWEEN] = max(0.0, 2 * found[""] - sum(found.values()))
    names = dict.fromkeys(name for found in passes.values() for name in found if name)
    return {name: float(np.median([found[name] for found in passes.values()])) for name in names}
