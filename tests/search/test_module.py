import math
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tas.architecture import Architecture
from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS, PARAMS
from tas.cutting.build import build
from tas.reading.plan import Plan
from tas.reading.readers import read_plan
from tas.search.batch_accuracy import batch_accuracy
from tas.search.confidence import mean_confidence
from tas.search.module import SearchModule
from tas.search.strategy import Moment, iterate
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tas.training.schedules import cosine, linear
from tests.conftest import bare_trainer
from tests.spaces import paper_space, unpruned

SHAPE = (1, 8, 8)


@cache
def planned() -> tuple[Architecture, torch.nn.Module, Plan, SearchSpace]:
    torch.manual_seed(0)
    full = unpruned("resnet20", num_classes=3, in_channels=1)
    network = build(full)
    return full, network, read_plan(network, SHAPE), paper_space(full, 8)


def make_module(target: float = 0.5, seed: int = 0, **changed: Any) -> SearchModule:
    full, network, plan, space = planned()
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "strategy": "gumbel-mixture",
        "epochs": 2,
        "samples": 2,
        "cost_weight": 2.0,
        "tau_start": 10.0,
        "tau_end": 0.1,
        "warmup": 0.0,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "arch_lr": 0.02,
        "arch_weight_decay": 1e-3,
    } | changed
    recipe = Recipe(**{key: value for key, value in settings.items() if key in asdict(Recipe())})
    strategy = Strategy(**{key: value for key, value in settings.items() if key in asdict(Strategy())})
    budget = Budget(target * FLOPS.exact(plan, full))
    return SearchModule(Supernet(network, space), [budget], recipe, strategy, seed)


def fit(module: SearchModule, batches: int = 3, callback: pl.Callback | None = None) -> None:
    """Search on noise, in as many epochs as the module is for."""
    images, labels = noise(batches)
    loaders = {
        half: DataLoader(TensorDataset(pixels, labels), batch_size=4)
        for half, pixels in zip(("weights", "architecture"), images)
    }
    trainer = bare_trainer(module.epochs, callback)
    trainer.fit(module, loaders, loaders["architecture"])


def noise(batches: int) -> tuple[Tensor, Tensor]:
    """Images of the two halves, (2, images, *SHAPE), and their labels."""
    images = torch.randn(2, batches * 4, *SHAPE, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(batches * 4) % 3


def copies(parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def equal(first: list[Tensor], second: list[Tensor]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(first, second, strict=True)]


def watch(module: SearchModule, step: str, look: Callable[[], None]) -> None:
    """Call `look` before and after every call of one of the strategy's methods."""
    original = getattr(module.strategy, step)

    def watched(*arguments: Any) -> Any:
        look()
        result = original(*arguments)
        look()
        return result

    setattr(module.strategy, step, watched)


@pytest.mark.parametrize(
    ("step", "moved", "still"),
    [
        ("weights_step", "weight_parameters", "architecture_parameters"),
        ("architecture_step", "architecture_parameters", "weight_parameters"),
    ],
)
def test_a_step_moves_its_own_parameters_and_leaves_the_others_as_they_are(step: str, moved: str, still: str) -> None:
    module = make_module(epochs=1)
    seen: dict[str, list[list[Tensor]]] = {moved: [], still: []}

    def look() -> None:
        for name, states in seen.items():
            states.append(copies(getattr(module.supernet, name)()))

    watch(module, step, look)
    fit(module, batches=2)
    for before, after in zip(seen[still][::2], seen[still][1::2]):
        assert all(equal(before, after))
    for before, after in zip(seen[moved][::2], seen[moved][1::2]):
        assert not any(equal(before, after)) if moved == "architecture_parameters" else not all(equal(before, after))
    assert len(seen[moved]) == 4


def test_each_step_takes_a_sample_and_a_half_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = make_module(epochs=1)
    drawn: list[tuple[tuple[int, ...], ...]] = []
    halves: list[Tensor] = []
    forward = module.supernet.forward

    def spy(images: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # not when it is judged
            drawn.append(tuple(choice.indices for choice in module.supernet.widths.values()))
            halves.append(images.clone())
        return forward(images)

    monkeypatch.setattr(module.supernet, "forward", spy)
    fit(module, batches=2)
    assert len(drawn) == len(set(drawn)) == 4
    assert all(len(indices) == 2 for sample in drawn for indices in sample)
    assert len({float(images.sum()) for images in halves}) == 4


def test_the_weights_have_sgd_and_the_logits_sgd_or_the_papers_adam() -> None:
    weights, logits = make_module().configure_optimizers()
    assert isinstance(weights, torch.optim.SGD) and isinstance(logits, torch.optim.SGD)
    expected = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    assert {key: weights.param_groups[0][key] for key in expected} == expected
    expected = {"momentum": 0, "weight_decay": 1e-3}
    assert {key: logits.param_groups[0][key] for key in expected} == expected
    _, logits = make_module(arch_optimizer="adam").configure_optimizers()
    assert isinstance(logits, torch.optim.Adam)
    expected = {"betas": (0.5, 0.999), "weight_decay": 1e-3}
    assert {key: logits.param_groups[0][key] for key in expected} == expected
    with pytest.raises(KeyError, match="lion"):
        make_module(arch_optimizer="lion").configure_optimizers()


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({"arch_lr": 0.5}, 0.5),
        ({"arch_lr": 0.5, "arch_optimizer": "adam"}, 0.5),
        ({"arch_lr": None, "arch_optimizer": "adam"}, 0.02),
        ({"arch_lr": None}, 5.0),
        ({"arch_lr": None, "warmup": 0.5}, 5.0),
    ],
)
def test_the_logits_learn_at_the_rate_given_or_at_one_for_the_length_of_the_search(
    settings: dict[str, Any], rate: float
) -> None:
    module = make_module(epochs=2, cost_weight=0.0, **settings)
    rates: list[float] = []
    watch(module, "architecture_step", lambda: rates.append(module.optimizers()[1].param_groups[0]["lr"]))
    fit(module, batches=4)
    assert rates[::2] == [pytest.approx(rate)] * (4 if settings.get("warmup") else 8)


@pytest.mark.parametrize(("warmup", "rate"), [(0.0, 1600 / 800), (0.5, 1600 / 400), (0.75, 5.0)])
def test_a_longer_search_moves_the_logits_as_far_in_smaller_steps(warmup: float, rate: float) -> None:
    module = make_module(arch_lr=None, warmup=warmup)
    assert module.strategy.arch_lr_over((1 - warmup) * 800) == pytest.approx(rate)


def test_sgd_moves_the_logits_by_what_they_change_in_the_loss() -> None:
    module = make_module(epochs=1, arch_lr=3.0, arch_weight_decay=0.0, cost_weight=0.0)
    logits = module.supernet.architecture_parameters()
    gradients: dict[int, Tensor] = {}
    for place, parameter in enumerate(logits):
        parameter.register_hook(lambda gradient, place=place: gradients.update({place: gradient.clone()}))
    before = copies(logits)
    fit(module, batches=1)
    for place, (old, new) in enumerate(zip(before, copies(logits))):
        assert gradients[place].any()
        torch.testing.assert_close(new, old - 3.0 * gradients[place])


def test_every_parameter_has_one_optimiser() -> None:
    module = make_module()
    owned = [
        id(parameter)
        for optimizer in module.configure_optimizers()
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert sorted(owned) == sorted(id(parameter) for parameter in module.parameters())


def test_without_momentum_there_is_no_nesterov() -> None:
    # SGD refuses the one without the other.
    assert not make_module(momentum=0.0).configure_optimizers()[0].param_groups[0]["nesterov"]


def test_tau_and_the_learning_rate_follow_their_schedules_over_the_whole_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = make_module()
    taus: list[float] = []
    rates: list[float] = []
    sample = module.supernet.sample

    def spy(tau: float, *others: Any, **named: Any) -> None:
        taus.append(tau)
        sample(tau, *others, **named)

    monkeypatch.setattr(module.supernet, "sample", spy)
    weights_step = module.strategy.weights_step

    def rate(batch: Any, optimizer: Any, *others: Any) -> Tensor:
        rates.append(optimizer.param_groups[0]["lr"])
        return weights_step(batch, optimizer, *others)

    monkeypatch.setattr(module.strategy, "weights_step", rate)
    fit(module, batches=3)
    progress = [iteration / 6 for iteration in range(6)]
    assert taus[::2] == taus[1::2] == [linear(10.0, 0.1, p) for p in progress]
    assert rates == [cosine(0.1, p) for p in progress]


@pytest.mark.parametrize(("depth_training", "most"), [("drawn", 1), ("mixed", 3)])
def test_the_weights_learn_on_drawn_depths_or_on_mixed_ones_and_the_logits_on_mixed_ones(
    depth_training: str, most: int
) -> None:
    module = make_module(depth_training=depth_training)
    counts: dict[str, list[list[int]]] = {"weights_step": [], "architecture_step": []}

    def look(step: str) -> None:
        depths = module.supernet.depths.values()
        counts[step].append([len(choice.drawn()) for choice in depths])
        graphs[step].append(any(choice.weights.requires_grad for choice in depths))

    graphs: dict[str, list[bool]] = {step: [] for step in counts}
    for step in counts:
        watch(module, step, partial(look, step))
    fit(module)
    assert counts["weights_step"][1::2] == 6 * [3 * [most]]  # after each of the six steps
    assert counts["architecture_step"][1::2] == 6 * [3 * [3]]
    assert graphs["architecture_step"][1::2] == 6 * [True]
    assert graphs["weights_step"][1::2] == 6 * [False]  # no time for gradients that nobody asks for


def test_a_search_is_a_function_of_its_seed() -> None:
    def learned(seed: int) -> list[Tensor]:
        module = make_module(epochs=1, seed=seed)
        fit(module, batches=2)
        return copies(list(module.supernet.parameters()))

    assert all(equal(learned(0), learned(0)))
    assert not all(equal(learned(0), learned(1)))


def expected_ratio(module: SearchModule) -> float:
    (cost,) = module.strategy.costs
    return cost.expected(*module.supernet.probabilities()).item() / cost.full


@pytest.mark.parametrize(("target", "start", "direction"), [(0.3, -1, -1), (1.0, 0, 1)])
def test_a_huge_lambda_moves_the_expected_flops_toward_the_target(target: float, start: int, direction: int) -> None:
    module = make_module(target, cost_weight=1e4, epochs=1, arch_lr=1e-4, arch_weight_decay=0.0)
    for logits in module.supernet.architecture_parameters():
        logits.data[start] += 1.0  # the argmax is the largest, or the smallest, network and stays so for these steps
    ratios: list[float] = []
    watch(module, "architecture_step", lambda: ratios.append(expected_ratio(module)))
    fit(module, batches=4)
    steps = [direction * (after - before) for before, after in zip(ratios[::2], ratios[1::2])]
    assert len(steps) == 4 and min(steps) > 1e-3


def test_with_lambda_0_the_budget_pulls_nothing() -> None:
    def learned(target: float) -> list[Tensor]:
        module = make_module(target, cost_weight=0.0, epochs=1)
        fit(module, batches=2)
        return copies(module.supernet.architecture_parameters())

    assert all(equal(learned(0.1), learned(1.0)))


def test_with_one_sample_only_the_cost_moves_the_widths() -> None:
    module = make_module(samples=1, cost_weight=0.0, epochs=1, arch_weight_decay=0.0)
    before = copies(module.supernet.architecture_parameters())
    fit(module, batches=2)
    widths = len(module.supernet.widths)
    same = equal(before, copies(module.supernet.architecture_parameters()))
    assert all(same[:widths])
    assert not any(same[widths:])  # depths are always mixed


def test_what_is_logged_is_complete() -> None:
    module = make_module(epochs=1)
    logged: dict[str, float] = {}

    class Keep(pl.Callback):
        def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            logged.update({key: float(value) for key, value in trainer.callback_metrics.items()})

    fit(module, batches=2, callback=Keep())
    steps = {f"{step}/{value}" for step in ("weights", "architecture") for value in ("loss", "accuracy")}
    flops = {f"flops/{key}" for key in ("expected_ratio", "derived_ratio", "band_low", "band_high")}
    schedule = {"schedule/tau", "schedule/lr", "schedule/arch_lr"}
    gaps = {f"confidence/{name}" for name in (*module.supernet.widths, *module.supernet.depths, "mean")}
    assert steps | flops | schedule | gaps <= set(logged)
    assert logged["flops/band_low"] == pytest.approx(0.475)
    assert logged["flops/band_high"] == pytest.approx(0.525)
    found = mean_confidence(*module.supernet.probabilities())
    assert logged["confidence/mean"] == pytest.approx(found)


def test_accuracy_is_the_share_of_right_answers() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.5], [0.0, 0.0, 1.0]])
    assert float(batch_accuracy(logits, torch.tensor([0, 1, 2, 2]))) == 0.75


def test_during_the_warm_up_the_weights_alone_move_on_networks_drawn_at_the_first_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = make_module(warmup=0.5, epochs=4, tau_start=5.0, tau_end=1.0)
    logits = [parameter.detach().clone() for parameter in module.supernet.architecture_parameters()]
    moved, taus = [], []
    sample = module.supernet.sample

    def spy(tau: float, *others: Any, **named: Any) -> None:
        taus.append(tau)
        sample(tau, *others, **named)

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
            now = module.supernet.architecture_parameters()
            moved.append(any(not torch.equal(a, b) for a, b in zip(now, logits, strict=True)))

    monkeypatch.setattr(module.supernet, "sample", spy)
    fit(module, batches=2, callback=Watch())
    assert moved == [False, False, True, True]
    assert taus == pytest.approx([5.0] * 4 + [tau for tau in (5.0, 4.0, 3.0, 2.0) for _ in range(2)])


def test_a_step_without_lightning_is_the_step_that_lightning_takes() -> None:
    with_lightning, without = make_module(), make_module()
    fit(with_lightning, batches=3)
    images, labels = noise(batches=3)
    strategy = without.strategy
    optimizers = strategy.optimizers()
    without.train()
    for iteration in range(6):
        part = slice(4 * (iteration % 3), 4 * (iteration % 3) + 4)
        batch = {half: (pixels[part], labels[part]) for half, pixels in zip(("weights", "architecture"), images)}
        scalars = iterate(strategy, batch, Moment(iteration, 6), optimizers, Tensor.backward)
        assert {"loss", "flops"} == set(strategy.shown(scalars))
    own, other = (copies(list(module.supernet.parameters())) for module in (with_lightning, without))
    assert all(equal(own, other))


def test_after_a_step_every_parameter_can_learn_again() -> None:
    module = make_module()
    fit(module, batches=1)
    assert all(parameter.requires_grad for parameter in module.supernet.parameters())


def test_of_two_budgets_each_pulls_its_own_cost() -> None:
    full, network, plan, space = planned()
    budgets = [Budget(1.0 * FLOPS.exact(plan, full)), Budget(0.3 * PARAMS.exact(plan, full), measure=PARAMS)]
    recipe, strategy = Recipe(epochs=1), Strategy(strategy="gumbel-mixture", warmup=0.0, cost_weight=1e4, arch_lr=1e-4)
    torch.manual_seed(0)
    module = SearchModule(Supernet(network, space), budgets, recipe, strategy)
    logged: dict[str, float] = {}

    class Keep(pl.Callback):
        def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            logged.update({key: float(value) for key, value in trainer.callback_metrics.items()})

    for logits in module.supernet.architecture_parameters():
        logits.data[-1] += 1.0  # the argmax is the unpruned network: FLOPs are met, parameters are not
    before = [cost.expected(*module.supernet.probabilities()).item() for cost in module.strategy.costs]
    fit(module, batches=4, callback=Keep())
    after = [cost.expected(*module.supernet.probabilities()).item() for cost in module.strategy.costs]
    assert after[1] < before[1]
    assert logged["flops/derived_ratio"] == logged["params/derived_ratio"] == 1
    assert logged["params/band_high"] == pytest.approx(0.3 * 1.05)
    assert math.log(after[1]) < logged["architecture/cost_loss"] < math.log(before[1])  # of the last step
