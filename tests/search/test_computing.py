"""A search masked: the same steps, nothing read back from the device, and the faster way is chosen."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tas.config import SearchOptions
from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.errors import TasError
from tas.search import computing
from tas.search.computing import choose_compute
from tas.search.module import SearchModule
from tas.search.strategy import Moment, iterate
from tas.space.space import SearchSpace
from tas.supernet.choice import Alignment
from tas.supernet.supernet import Supernet
from tests.search.test_module import fit, noise, planned

STRATEGIES = ["gumbel-mixture", "sandwich"]
WAYS = [("gumbel-mixture", "pad"), ("gumbel-mixture", "interpolate"), ("sandwich", "pad")]
OPTIONS = {"gumbel-mixture": {"warmup": 0.0, "arch_optimizer": "adam"}, "sandwich": {}}


def module_of(
    strategy: str, compute: str, dtype: torch.dtype = torch.float64, align: Alignment = "pad"
) -> SearchModule:
    full, network, plan, _ = planned()
    space = SearchSpace.of(plan, full)
    torch.manual_seed(0)
    supernet = Supernet(network, space, align).to(dtype)
    options = Strategy(strategy=strategy, compute=compute, **OPTIONS[strategy])
    return SearchModule(supernet, [Budget(0.5 * FLOPS.exact(plan, full))], Recipe(epochs=2), options)


def batch_of(images: int, device: str = "cpu", dtype: torch.dtype = torch.float64) -> dict[str, tuple[Tensor, Tensor]]:
    parts, labels = noise(images // 4)
    return {half: (own.to(device, dtype), labels.to(device)) for half, own in zip(("weights", "architecture"), parts)}


@pytest.mark.parametrize(("strategy", "align"), WAYS)
def test_masked_steps_learn_what_sliced_ones_do(strategy: str, align: Alignment) -> None:
    learned = []
    for compute in ("sliced", "masked"):
        module = module_of(strategy, compute, align=align).train()
        module.supernet.compute_by(compute)
        optimizers = module.strategy.optimizers()
        scalars = iterate(module.strategy, batch_of(48), Moment(20, 40), optimizers, Tensor.backward)
        learned.append((scalars, dict(module.supernet.named_parameters())))
    (sliced, own), (masked, others) = learned
    assert sliced.keys() == masked.keys()
    for name, value in sliced.items():
        loose = {"rtol": 1e-4 if name.startswith("architecture") else 1e-6, "atol": 1e-6}
        torch.testing.assert_close(torch.as_tensor(masked[name]), torch.as_tensor(value), **loose, msg=name)
    for name, parameter in own.items():
        # Of a block that is not drawn the gradient is 0 masked, and none sliced: there weights do not decay.
        torch.testing.assert_close(others[name], parameter, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(("strategy", "align"), WAYS)
def test_a_masked_iteration_reads_nothing_back(
    monkeypatch: pytest.MonkeyPatch, strategy: str, align: Alignment
) -> None:
    # A tensor of the meta device has no values: whoever asks for one fails.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # it does not know the device
    module = module_of(strategy, "masked", torch.float32, align).train().to("meta")
    module.supernet.compute_by("masked")
    optimizers = module.strategy.optimizers()
    for iteration in range(2):
        iterate(
            module.strategy,
            batch_of(48, "meta", torch.float32),
            Moment(iteration, 4, written=False),
            optimizers,
            Tensor.backward,
        )
    with pytest.raises((RuntimeError, NotImplementedError)):
        next(module.supernet.parameters()).sum().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("strategy", "align"), WAYS)
def test_on_a_gpu_a_masked_iteration_waits_for_nothing(strategy: str, align: Alignment) -> None:
    module = module_of(strategy, "masked", torch.float32, align).train().to("cuda")
    module.supernet.compute_by("masked")
    optimizers, batch = module.strategy.optimizers(), batch_of(48, "cuda", torch.float32)
    iterate(module.strategy, batch, Moment(0, 4), optimizers, Tensor.backward)  # what is made once
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        iterate(module.strategy, batch, Moment(1, 4, written=False), optimizers, Tensor.backward)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("masked_takes", "chosen"), [(0.5, "masked"), (2.0, "sliced")])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_faster_way_is_chosen_and_said_and_nothing_is_learned_by_trying(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    strategy: str,
    masked_takes: float,
    chosen: str,
) -> None:
    module = module_of(strategy, "auto").train()
    supernet, clock = module.supernet, [0.0]
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    learn: Callable[..., Any] = module.strategy.learn

    def timed(*args: Any) -> Any:
        clock[0] += masked_takes if supernet.compute == "masked" else 1.0
        return learn(*args)

    monkeypatch.setattr(module.strategy, "learn", timed)
    monkeypatch.setattr(computing.time, "perf_counter", lambda: clock[0])
    assert choose_compute(module.strategy, batch_of(48), Moment(0, 4), Tensor.backward) == chosen
    assert (
        f"{chosen}: an iteration takes 1000 ms sliced, {1000 * masked_takes:.0f} ms masked" in capsys.readouterr().out
    )
    after = supernet.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_what_cannot_be_masked_is_sliced_and_why_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(supernet: Supernet) -> None:
        raise TasError("it cannot be computed masked")

    monkeypatch.setattr(computing, "check_masked", refuse)
    module = module_of("sandwich", "auto")
    assert choose_compute(module.strategy, batch_of(48), Moment(0, 4), Tensor.backward) == "sliced"
    assert "sliced: it cannot be computed masked" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "chosen"), [("auto", "sliced"), ("sliced", "sliced"), ("masked", "masked")])
def test_on_a_cpu_it_is_sliced_unless_it_is_asked_for(asked: str, chosen: str) -> None:
    module = module_of("sandwich", asked, torch.float32)
    fit(module, batches=2)
    assert module.supernet.compute == module.compute == chosen
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    resumed = module_of("sandwich", "auto", torch.float32)
    resumed.on_load_checkpoint(checkpoint)
    assert resumed.compute == chosen


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of torch's compiler
@pytest.mark.parametrize(("strategy", "align"), WAYS)
def test_compiled_steps_learn_what_masked_ones_do(
    strategy: str, align: Alignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The compiler's own code is not what is tested: graphs are taken, and run by torch.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    learned = []
    for compiled in (False, True):
        module = module_of(strategy, "masked", align=align).train()
        module.supernet.compute_by("masked", compiled)
        optimizers = module.strategy.optimizers()
        for iteration in range(2):
            iterate(module.strategy, batch_of(48), Moment(iteration, 40), optimizers, Tensor.backward)
        learned.append(list(module.supernet.parameters()))
    torch.testing.assert_close(learned[1], learned[0])


def test_what_is_compiled_is_masked() -> None:
    full, network, plan, _ = planned()
    supernet = Supernet(network, SearchSpace.of(plan, full))
    module = SearchModule(supernet, [Budget(0.5 * FLOPS.exact(plan, full))], compiled=True)
    assert module.compute is None
    with pytest.raises(TasError, match="--compile goes with every --compute but sliced"):
        SearchOptions(compile=True, strategy=Strategy(compute="sliced"))
