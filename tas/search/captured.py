"""Iterations of a search as CUDA graphs: the host gives the device one thing to do where it else gives some thousands.

An iteration whose layers are masked does the same operations on the same shapes each time, and takes from the host
numbers alone (`tas.search.strategy.Given`). So it is recorded once for each phase of the search, with a place for each
of these numbers and for the batch; to do it again is to fill the places, and to replay.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from tas.data.loaders import Batch
from tas.errors import TasError, gist
from tas.search.strategy import Backward, Given, Moment, Scalars, SearchStrategy, Stepper

WARM = 3
"""Iterations of a phase before it is recorded: what is made once has to be there, as the optimisers' states."""

RATES = torch.float32
"""As torch's fused optimisers take them."""

Returned = TypeVar("Returned")


class Recorder(Protocol):
    """How operations are recorded."""

    def before(self) -> AbstractContextManager[object]:
        """Where what is to be recorded runs before."""

    def record(self, function: Callable[[], Returned]) -> tuple[Returned, Callable[[], None]]:
        """Record what a function does, without doing it: what it returns, which is there once it is replayed; and what
        replays it."""


class CudaGraphs:
    """CUDA graphs, recorded on a stream of their own, which share their memory: one is replayed at a time."""

    def __init__(self) -> None:
        self.stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def before(self) -> Iterator[None]:
        """On that stream: where a gradient is accumulated, torch does so on the stream where it first did."""
        outside = torch.cuda.current_stream()
        self.stream.wait_stream(outside)
        with torch.cuda.stream(self.stream):
            yield
        outside.wait_stream(self.stream)

    def record(self, function: Callable[[], Returned]) -> tuple[Returned, Callable[[], None]]:
        """As `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        torch.clear_autocast_cache()  # casts made outside would never be made again
        # Threads that make batches may ask CUDA for memory meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            made = function()
        torch.clear_autocast_cache()
        return made, graph.replay


class Inputs:
    """Where a recorded iteration finds what differs from one to the next.

    Args:
        batch: The first, on the device.
        given: Likewise by the host; its draws are on the CPU.
    """

    def __init__(self, batch: Mapping[str, Batch], given: Given) -> None:
        device = next(iter(batch.values()))[0].device
        self.batch = {half: (images.clone(), labels.clone()) for half, (images, labels) in batch.items()}
        rates = {name: torch.tensor(float(rate), device=device, dtype=RATES) for name, rate in given.rates.items()}
        draws = {name: own.to(device, copy=True) for name, own in given.draws.items()}
        self.given = Given(rates, draws, given.phase)

    def fill(self, batch: Mapping[str, Batch], given: Given) -> None:
        """Put a batch and what the host gives in their places, without waiting for the device."""
        for half, own in batch.items():
            for place, tensor in zip(self.batch[half], own, strict=True):
                place.copy_(tensor, non_blocking=True)
        for name, rate in self.given.rates.items():
            assert isinstance(rate, Tensor)
            rate.fill_(float(given.rates[name]))
        for name, place in self.given.draws.items():
            place.copy_(given.draws[name], non_blocking=True)


class FusedStepper:
    """An optimiser that takes its rate from the device, where it may change between two replays.

    Of torch's ways to update only the fused one does. It asks that all tensors of a parameter have the same strides,
    also in dimensions of length 1, where they mean nothing and those of gradients are often others.

    Args:
        stepper: The optimiser, or Lightning's around it.
    """

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.param_groups = stepper.param_groups
        for group in self.param_groups:
            group |= {"fused": True, "foreach": False}
        # Of a search that is gone on with, the state may be another way's.
        for parameter, state in getattr(stepper, "state", {}).items():
            for name, tensor in state.items():
                if isinstance(tensor, Tensor) and tensor.shape == parameter.shape:
                    state[name] = laid_out_as(parameter, tensor)
                elif isinstance(tensor, Tensor):  # the number of steps
                    state[name] = tensor.to(parameter.device, torch.float32)

    def zero_grad(self) -> None:
        """As `Stepper`."""
        self.stepper.zero_grad()

    def step(self) -> Any:
        """As `Stepper`."""
        for group in self.param_groups:
            for parameter in group.get("params", ()):
                if parameter.grad is not None:
                    parameter.grad = laid_out_as(parameter, parameter.grad)
        return self.stepper.step()


def laid_out_as(parameter: nn.Parameter, tensor: Tensor) -> Tensor:
    """A tensor of a parameter's shape in its strides: a view, where they differ but in dimensions of length 1."""
    if tensor.stride() == parameter.stride():
        return tensor
    meant = [(a, b) for size, a, b in zip(parameter.shape, parameter.stride(), tensor.stride()) if size > 1]
    if all(a == b for a, b in meant):
        return tensor.as_strided(parameter.shape, parameter.stride())
    return torch.empty_like(parameter).copy_(tensor)


class CapturedSearch:
    """The iterations of a search, recorded and replayed.

    Args:
        strategy: That of the search, whose layers are masked.
        optimizers: Those of `strategy.optimizers`, or wrapped.
        backward: How gradients are computed.
        recorder: How iterations are recorded.
    """

    def __init__(
        self,
        strategy: SearchStrategy,
        optimizers: Sequence[Stepper],
        backward: Backward,
        recorder: Recorder | None = None,
    ) -> None:
        self.strategy, self.backward = strategy, backward
        self.recorder = recorder or CudaGraphs()
        self.steppers = [FusedStepper(stepper) for stepper in optimizers]
        self.places: dict[str, Inputs] = {}
        self.warm: Counter[str] = Counter()
        self.recorded: dict[str, tuple[Scalars, Callable[[], None]]] = {}
        # Nothing may be left that knows where gradients were accumulated before.
        strategy.supernet.force(strategy.supernet.space.full)
        self.forget()

    def iterate(self, batch: Mapping[str, Batch], moment: Moment) -> Scalars:
        """One iteration, as `tas.search.strategy.iterate`.

        Raises:
            TasError: It does what cannot be recorded.
        """
        given = self.strategy.given(moment)
        phase = given.phase
        if phase not in self.places:
            self.places[phase] = Inputs(batch, given)
        self.places[phase].fill(batch, given)
        if phase in self.recorded:
            # Without gradients, which the recorded steps have of their own, a step is no more than counted.
            for stepper in self.steppers:
                stepper.step()
        elif self.warm[phase] < WARM:
            self.warm[phase] += 1
            with self.recorder.before():
                scalars = self.learn(phase)
            return {**given.scalars(), **scalars} if moment.written else {}
        else:
            self.recorded[phase] = self.record(phase)
        scalars, replay = self.recorded[phase]
        replay()
        self.forget()
        if not moment.written:
            return {}
        kept = {name: value.clone() if isinstance(value, Tensor) else value for name, value in scalars.items()}
        return {**given.scalars(), **kept}

    def learn(self, phase: str) -> Scalars:
        """What is recorded."""
        places = self.places[phase]
        return self.strategy.learn(places.batch, places.given, self.steppers, self.backward)

    def record(self, phase: str) -> tuple[Scalars, Callable[[], None]]:
        """Record an iteration of a phase."""
        try:
            recorded = self.recorder.record(lambda: self.learn(phase))
        except RuntimeError as error:
            raise TasError(f"--compute captured: this search cannot be captured ({gist(error)})") from None
        for stepper in self.steppers:
            stepper.zero_grad()
        return recorded

    def forget(self) -> None:
        """What a replay changes is not seen to have changed, so that nothing made of it may be kept."""
        masked = self.strategy.supernet.full_width
        assert masked is not None, "what is captured is masked"
        masked.forget()
