"""Captured iterations. No GPU is needed: operations are recorded as they are dispatched, and done again in the same
places, which is what a CUDA graph does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.errors import TasError
from tas.search import captured, computing, module
from tas.search.captured import WARM, CapturedSearch, FusedStepper, laid_out_as
from tas.search.computing import Idle, choose_compute
from tas.search.module import SearchModule
from tas.search.strategy import Moment, iterate
from tas.space.space import SearchSpace
from tas.supernet.choice import Alignment
from tas.supernet.supernet import Supernet
from tests.search.test_computing import WAYS, batch_of, module_of
from tests.search.test_module import fit, planned

Returned = TypeVar("Returned")
ITERATIONS = 16


class Operations(TorchDispatchMode):
    """Records what is dispatched inside."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = tree_map_only(
            Tensor, Tensor.detach, (args, kwargs or {})
        )  # as they are now: shapes may change in place
        made = func(*args, **(kwargs or {}))
        self.done.append((func, *given, tree_map_only(Tensor, Tensor.detach, made)))
        return made

    @torch.no_grad()
    def replay(self) -> None:
        """All of it again, on the tensors of the first time."""
        for func, args, kwargs, made in self.done:
            for place, result in zip(tensors_of(made), tensors_of(func(*args, **kwargs)), strict=True):
                if place.data_ptr() != result.data_ptr():
                    place.copy_(result)


def tensors_of(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class ByDispatch:
    """A recorder: what a function changes is put back afterwards, as a CUDA graph does nothing while it is captured."""

    def __init__(self, search: SearchModule, optimizers: Sequence[Any]) -> None:
        self.search, self.optimizers = search, optimizers
        self.replays = 0

    def before(self) -> Any:
        return nullcontext()

    def record(self, function: Callable[[], Returned]) -> tuple[Returned, Callable[[], None]]:
        states = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        changed = [*self.search.supernet.state_dict(keep_vars=True).values(), *tensors_of(states)]
        before = [tensor.detach().clone() for tensor in changed]
        with Operations() as operations:
            made = function()
        with torch.no_grad():
            for tensor, own in zip(changed, before, strict=True):
                tensor.copy_(own)

        def replay() -> None:
            self.replays += 1
            operations.replay()

        return made, replay


def search_of(strategy: str, align: Alignment) -> tuple[SearchModule, list[torch.optim.Optimizer]]:
    """A search with a warm-up, masked."""
    full, network, plan, _ = planned()
    torch.manual_seed(0)
    supernet = Supernet(network, SearchSpace.of(plan, full), align).double()
    own = {"warmup": 0.45, "arch_optimizer": "adam", "tau_start": 5.0} if strategy == "gumbel-mixture" else {}
    options = Strategy(strategy=strategy, compute="masked", **own)
    search = SearchModule(supernet, [Budget(0.5 * FLOPS.exact(plan, full))], Recipe(epochs=2), options).train()
    search.supernet.compute_by("masked")
    return search, search.strategy.optimizers()


def batches() -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Another one each time."""
    for number in range(ITERATIONS):
        yield {half: (images + 0.1 * number, labels.roll(number)) for half, (images, labels) in batch_of(48).items()}


def moments() -> Iterator[Moment]:
    for number in range(ITERATIONS):
        yield Moment(number, ITERATIONS, written=number % 4 == 3)


@pytest.mark.parametrize(("strategy", "align"), WAYS)
def test_replayed_iterations_learn_what_masked_ones_do(
    strategy: str, align: Alignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured, "RATES", torch.float64)
    search, optimizers = search_of(strategy, align)
    logged = [iterate(search.strategy, *now, optimizers, Tensor.backward) for now in zip(batches(), moments())]
    other, optimizers = search_of(strategy, align)
    recorder = ByDispatch(other, optimizers)
    replayed = CapturedSearch(other.strategy, optimizers, Tensor.backward, recorder)
    also = [replayed.iterate(*now) for now in zip(batches(), moments())]
    phases = 2 if strategy == "gumbel-mixture" else 1
    assert recorder.replays == ITERATIONS - phases * WARM
    for (name, own), theirs in zip(search.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(theirs, own, rtol=1e-9, atol=1e-11, msg=name)
    for own_scalars, scalars in zip(logged, also, strict=True):
        assert own_scalars.keys() == scalars.keys()
        for name, value in own_scalars.items():
            torch.testing.assert_close(torch.as_tensor(scalars[name]), torch.as_tensor(value), msg=name)
    assert all(logged[3::4]) and not any(logged[::4])


@pytest.mark.parametrize(("strategy", "align"), WAYS)
def test_what_is_recorded_makes_nothing_on_the_host(
    strategy: str, align: Alignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would be made while it is recorded, and never again. The device here is torch's meta device.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # it does not know the device
    search = module_of(strategy, "masked", torch.float32, align).train().to("meta")
    search.supernet.compute_by("masked")
    optimizers, batch = [Idle() for _ in search.strategy.optimizers()], batch_of(48, "meta", torch.float32)
    given = search.strategy.given(Moment(3, 4)).to(torch.device("meta"))
    search.strategy.learn(batch, given, optimizers, Tensor.backward)  # what is made once
    with OnDevice():
        search.strategy.learn(batch, given, optimizers, Tensor.backward)
    with pytest.raises(AssertionError, match="made on the host"), OnDevice():
        torch.ones(2) + 1


class OnDevice(TorchDispatchMode):
    """Fails where something is computed that is not on the meta device."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tensors_of((args, kwargs, made)):
            assert tensor.is_meta, f"{func} made on the host"
        return made


def test_a_gradient_gets_the_strides_of_its_parameter_where_they_mean_the_same() -> None:
    parameter = torch.nn.Parameter(torch.randn(8, 4, 1, 1))
    gradient = torch.randn(8, 4).as_strided((8, 4, 1, 1), (4, 1, 4, 4))
    same = laid_out_as(parameter, gradient)
    assert same.stride() == parameter.stride()
    assert same.data_ptr() == gradient.data_ptr() and torch.equal(same, gradient)
    other = torch.randn(4, 8, 1, 1).transpose(0, 1)
    copied = laid_out_as(parameter, other)
    assert copied.stride() == parameter.stride() and torch.equal(copied, other)
    parameter.grad = gradient
    FusedStepper(torch.optim.SGD([parameter], lr=0.1)).step()
    assert parameter.grad.stride() == parameter.stride()


def test_the_state_of_an_optimiser_of_another_way_is_taken_over() -> None:
    torch.manual_seed(0)
    learned = []
    for fused in (False, True):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
        optimizer = torch.optim.Adam([parameter], lr=0.1)
        for step in range(4):
            stepper = FusedStepper(optimizer) if fused and step == 2 else optimizer
            parameter.grad = torch.full_like(parameter, 0.5 + step) * parameter.detach()
            stepper.step()
        learned.append(parameter.detach())
    torch.testing.assert_close(*learned)


def recorded(search: SearchModule) -> Callable[..., CapturedSearch]:
    """In the place of `CapturedSearch` where there is no GPU."""

    def make(strategy: Any, optimizers: Sequence[Any], backward: Any) -> CapturedSearch:
        return CapturedSearch(strategy, optimizers, backward, ByDispatch(search, optimizers))

    return make


@pytest.mark.parametrize("strategy", ["gumbel-mixture", "sandwich"])
def test_lightning_runs_what_is_captured_and_counts_its_steps(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = {}
    for way in ("masked", "captured"):
        search = module_of(strategy, way, torch.float32)
        monkeypatch.setattr(module, "why_not_captured", lambda trainer: None)
        monkeypatch.setattr(computing, "CapturedSearch", recorded(search))
        fit(search, batches=6)
        searches[way] = search, search.trainer.global_step
    (masked, steps), (other, others) = searches.values()
    assert steps == others == (24 if strategy == "gumbel-mixture" else 12)
    for own, theirs in zip(masked.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(theirs, own, rtol=1e-3, atol=1e-4)


def test_where_nothing_is_captured_it_is_said_before_anything_is_done() -> None:
    search = module_of("sandwich", "captured", torch.float32)
    before = [parameter.clone() for parameter in search.parameters()]
    with pytest.raises(TasError, match="--compute captured: CUDA graphs need an NVIDIA GPU"):
        fit(search, batches=2)
    assert all(map(torch.equal, before, search.parameters()))
    begun_on_a_gpu = module_of("sandwich", "auto", torch.float32)
    begun_on_a_gpu.on_load_checkpoint({"compute": "captured"})
    fit(begun_on_a_gpu, batches=2)
    assert begun_on_a_gpu.supernet.compute == "masked"


def test_what_cannot_be_captured_is_masked_and_why_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = module_of("sandwich", "auto").train()

    class Failing(ByDispatch):
        def record(self, function: Callable[[], Returned]) -> tuple[Returned, Callable[[], None]]:
            raise RuntimeError("operation not permitted when stream is capturing")

    def make(strategy: Any, optimizers: Sequence[Any], backward: Any) -> CapturedSearch:
        return CapturedSearch(strategy, optimizers, backward, Failing(search, []))

    monkeypatch.setattr(computing, "CapturedSearch", make)
    chosen = choose_compute(search.strategy, batch_of(48), Moment(0, 4), Tensor.backward, "captured")
    assert chosen in ("masked", "sliced")
    out = capsys.readouterr().out
    assert "this search cannot be captured (operation not permitted when stream is capturing)" in out
    assert "ms masked (--compute)" in out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("strategy", "align"), WAYS)
def test_on_a_gpu_captured_iterations_learn_what_masked_ones_do(strategy: str, align: Alignment) -> None:
    learned: list[list[Tensor]] = []
    for way in ("masked", "captured"):
        search = module_of(strategy, "masked", torch.float32, align).train().to("cuda")
        search.supernet.compute_by("masked")
        optimizers, batch = search.strategy.optimizers(), batch_of(48, "cuda", torch.float32)
        replayed = CapturedSearch(search.strategy, optimizers, Tensor.backward) if way == "captured" else None
        for number in range(WARM + 4):
            now = Moment(number, WARM + 4)
            if replayed is None:
                iterate(search.strategy, batch, now, optimizers, Tensor.backward)
            else:
                replayed.iterate(batch, now)
        learned.append(list(search.parameters()))
    torch.testing.assert_close(learned[1], learned[0], rtol=1e-3, atol=1e-3)
