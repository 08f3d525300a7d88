"""Latency as a cost: the times of layers, measured at some widths, summed and brought to the times of whole networks.

A network's latency is a weighted sum of its layers' own times, and of what every layer adds beside them (norms,
activations, the steps of Python): so it is a sum of tables over pairs of widths as other costs are, and the loss and
the choice of an architecture take it like them. As a cost it is in whole nanoseconds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

from tas.architecture import Architecture
from tas.cost.measures import Measure
from tas.cost.tables import Term
from tas.reading.plan import Layer, Plan

Times = NDArray[np.float64]

NANOSECONDS = 1e9
"""In a second."""


@dataclass(frozen=True)
class LayerGrid:
    """The time of a layer by itself at some numbers of channels."""

    inputs: tuple[int, ...]
    """Input channels that an output channel reads, ascending."""
    outputs: tuple[int, ...]
    """Ascending."""
    seconds: tuple[tuple[float, ...], ...]
    """(inputs, outputs)."""

    def at(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Interpolated between the measured widths, the nearest beyond them: (inputs, outputs) float64."""
        along = np.stack([np.interp(outputs.numpy(), self.outputs, row) for row in self.seconds])
        both = np.stack([np.interp(inputs.numpy(), self.inputs, column) for column in along.T], axis=1)
        return torch.from_numpy(both)


@dataclass(frozen=True)
class LatencyWeights:
    """What brings the sum of the layers' own times to the time of the whole network."""

    own: float = 0.0
    """Of a layer's own time."""
    layer: float = 0.0
    """Seconds beside it for each layer."""
    feature: float = 0.0
    """Seconds for each number of a layer's output."""
    network: float = 0.0
    """Seconds once."""


ALONE = tuple(LatencyWeights(**{name: 1.0}) for name in LatencyWeights.__dataclass_fields__)
"""One weight at a time: what each is the weight of."""


@dataclass(frozen=True)
class LatencyCost:
    """The times of a network's layers, and how they make up that of the whole."""

    grids: Mapping[str, LayerGrid]
    """Layer -> its own time."""
    batch: int = 1
    """Images."""
    weights: LatencyWeights = LatencyWeights(own=1.0)

    @property
    def measure(self) -> Measure:
        """The latency as a cost."""
        return Measure("latency", "latency", self.terms, in_time_units)

    def terms(self, plan: Plan) -> Iterator[Term]:
        """What a network of this plan pays, in nanoseconds."""
        yield Term(1, 1, price(once=self.weights.network))
        for layer in plan.layers:
            if layer.if_unequal and layer.name not in self.grids:
                continue  # a projection, where the space that was timed has none: its widths are tied
            reads, writes = channels_read(plan, layer), layer.writes
            each = self.weights.feature * self.batch * layer.positions * writes.repeat
            for place, segment in enumerate(layer.reads):
                own = own_time(
                    self.grids[layer.name], segment.repeat, writes.repeat, sum(reads) if len(reads) > 1 else None
                )
                first = float(place == 0)  # however many parts it reads, the rest is paid once
                cost = price(own, self.weights.own, first * each, first * self.weights.layer)
                yield Term(segment.source, writes.source, cost, layer.stage, layer.block, layer.if_unequal)

    def parts(self, plan: Plan, architecture: Architecture) -> tuple[float, ...]:
        """What each weight is the weight of, in a network of this plan."""
        exact = (replace(self, weights=one).measure.exact(plan, architecture) for one in ALONE)
        return tuple(value / NANOSECONDS for value in exact)

    def fitted(self, plan: Plan, networks: Sequence[Architecture], seconds: Sequence[float]) -> "LatencyCost":
        """With the weights of `latency_fit`.

        Args:
            plan: Of the unpruned network.
            networks: Some that were timed whole.
            seconds: What they take.
        """
        rows = np.array([self.parts(plan, network) for network in networks])
        return replace(self, weights=LatencyWeights(*map(float, latency_fit(rows, np.array(seconds)))))


def latency_fit(rows: Times, seconds: Times) -> Times:
    """The weights of the least squares of relative errors, none below 0.

    Args:
        rows: What each weight is the weight of, in each network, (networks, weights).
        seconds: What these networks take, (networks,).
    """
    scale = rows.max(0).clip(1e-12)
    found, _ = nnls(rows / scale / seconds[:, None], np.ones(len(seconds)))
    return np.asarray(found / scale)


def held_out_errors(rows: Times, seconds: Times, folds: int) -> Times:
    """The relative error for each network, predicted by a fit of the other folds. Arguments as for `latency_fit`."""
    places, predicted = np.arange(len(seconds)) % folds, np.zeros(len(seconds))
    for fold in range(folds):
        out = places == fold
        predicted[out] = rows[out] @ latency_fit(rows[~out], seconds[~out])
    return np.asarray(np.abs(predicted / seconds - 1))


def in_time_units(cost: float) -> str:
    """Nanoseconds as people write them: 22800000 is 22.8 ms."""
    return f"{cost / 1e6:.3g} ms" if cost >= 1e4 else f"{cost / 1e3:.3g} us"


Price = Callable[[Tensor, Tensor], Tensor]
"""From input channels (I,) and output channels (O,) to what each of the one with each of the other takes, (I, O)."""


def own_time(grid: LayerGrid, reads: int, writes: int, whole: int | None) -> Price:
    """A layer's own time, or that of a part of what it reads, in seconds.

    Args:
        grid: Its times.
        reads, writes: Features for each channel of what it reads, and of what it writes.
        whole: Where it reads several parts one after another: the features of all, of which each has its share of the
            time. None: it reads this part alone.
    """
    if whole is None:
        return lambda inputs, outputs: grid.at(inputs * reads, outputs * writes)
    return lambda inputs, outputs: (
        (inputs * reads / whole)[:, None] * grid.at(torch.tensor([float(whole)]), outputs * writes)
    )


def price(own: Price | None = None, weight: float = 0.0, each: float = 0.0, once: float = 0.0) -> Price:
    """Weighted own time, seconds for each output channel, and seconds once: in whole nanoseconds."""

    def cost(inputs: Tensor, outputs: Tensor) -> Tensor:
        seconds = (each * outputs + once).expand(len(inputs), len(outputs))
        if own is not None:
            seconds = seconds + weight * own(inputs, outputs)
        return (seconds * NANOSECONDS).round()

    return cost


def channels_read(plan: Plan, layer: Layer) -> list[int]:
    """The features of each part that a layer reads in the unpruned network."""
    widths, depths = plan.all_widths(), plan.depths()
    found = []
    for segment in layer.reads:
        source = plan.resolve(segment.source, depths)
        found.append(segment.repeat * (source if isinstance(source, int) else widths[source]))
    return found
