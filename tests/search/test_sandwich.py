"""The sandwich strategy: what a step trains, and that its end is a function of the seed."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.cutting.cut import cut
from tas.errors import TasError
from tas.search.finish import Found, finish_search
from tas.search.module import SearchModule
from tas.search.probing import random_networks
from tas.search.strategies.sandwich import parts_of_batch
from tas.search.strategy import Moment, iterate
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tests.conftest import bare_trainer
from tests.search.test_module import copies, equal, noise, planned


def made(seed: int = 0, epochs: int = 1, **options: Any) -> tuple[SearchModule, torch.nn.Module, list[Budget]]:
    """A search of a ResNet-20 on noise, the unpruned network, and a budget of half its FLOPs."""
    full, network, plan, _ = planned()
    space = SearchSpace.of(plan, full)
    strategy = Strategy(strategy="sandwich", **{"probes": 40, "draws": 20} | options)
    budgets = [Budget(0.5 * FLOPS.exact(plan, full))]
    torch.manual_seed(seed)
    return SearchModule(Supernet(network, space), budgets, Recipe(epochs=epochs), strategy, seed), network, budgets


def batches(count: int = 3) -> DataLoader:
    images, labels = noise(count)
    return DataLoader(TensorDataset(images[0], labels), batch_size=4)


def fit(module: SearchModule, callback: pl.Callback | None = None) -> None:
    bare_trainer(module.epochs, callback).fit(module, {"weights": batches()}, batches())


def finished(seed: int = 0, **options: Any) -> Found:
    module, network, budgets = made(seed, **options)
    if module.epochs:
        fit(module)
    return finish_search(module, network, budgets, batches(), judging=batches)


def test_the_gradient_is_the_sum_of_those_of_its_networks_each_by_itself() -> None:
    module, network, _ = made(random_networks=2)
    supernet, strategy = module.supernet.train(), module.strategy
    images, labels = noise(15)  # 60, a third each for the three that are taught
    before = {name: tensor.clone() for name, tensor in supernet.weights(supernet.space.full).items()}
    generator = torch.Generator().manual_seed(7)
    optimizers = strategy.optimizers()
    optimizers[0].step = lambda: None  # type: ignore[assignment,method-assign]
    iterate(strategy, {"weights": (images[0], labels)}, Moment(7, 100), optimizers, Tensor.backward)

    space = supernet.space
    networks = [space.full, space.smallest(), *random_networks(space, 2, generator)]
    expected: dict[str, Tensor] = {}
    taught: Tensor | None = None
    for architecture, part in zip(networks, [slice(60), slice(20), slice(20, 40), slice(40, 60)]):
        alone = cut(network, space.plan, architecture, before).train()
        logits = alone(images[0][part])
        if taught is None:
            taught, loss = logits.detach(), F.cross_entropy(logits, labels)
        else:
            loss = F.kl_div(logits.log_softmax(1), taught[part].softmax(1), reduction="batchmean")
        loss.backward()
        for name, parameter in alone.named_parameters():
            if parameter.dim() == 4 and name in before:  # convolutions; norms have a scale for every candidate
                whole = expected.setdefault(name, torch.zeros_like(before[name]))
                part = parameter.grad
                assert part is not None
                whole[: part.shape[0], : part.shape[1]] += part
    homes = supernet.homes
    for name, gradient in expected.items():
        own = homes[name.removesuffix(".weight")].weight.grad
        torch.testing.assert_close(own, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "networks", "parts"),
    [
        (64, 3, [(0, 21), (21, 42), (42, 63)]),
        (64, 1, [(0, 64)]),
        (40, 3, [(0, 16), (16, 32), (24, 40)]),  # at least sixteen
        (10, 2, [(0, 10), (0, 10)]),
    ],
)
def test_taught_networks_share_the_batch(images: int, networks: int, parts: list[tuple[int, int]]) -> None:
    assert [(part.start, part.stop) for part in parts_of_batch(images, networks)] == parts


def test_every_step_trains_the_unpruned_network_the_smallest_and_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, _ = made(random_networks=3)
    forced: list[Any] = []
    force = module.supernet.force

    def spy(architecture: Any) -> None:
        forced.append(architecture)
        force(architecture)

    monkeypatch.setattr(module.supernet, "force", spy)
    fit(module)
    space = module.supernet.space
    assert len(forced) == 3 * 5
    assert all(step[:2] == [space.full, space.smallest()] for step in (forced[:5], forced[5:10], forced[10:]))
    assert len({str(network) for network in forced}) == 2 + 3 * 3


def test_without_random_networks_a_step_trains_two() -> None:
    module, _, _ = made(random_networks=0)
    logged: dict[str, float] = {}

    class Keep(pl.Callback):
        def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            logged.update({key: float(value) for key, value in trainer.callback_metrics.items()})

    fit(module, Keep())
    assert {"weights/loss", "weights/smallest", "schedule/lr"} <= set(logged)
    assert "weights/random" not in logged


def test_a_search_and_its_end_are_a_function_of_the_seed() -> None:
    first, again, other = finished(), finished(), finished(seed=1)
    assert first.conclusion.probes == again.conclusion.probes != other.conclusion.probes
    assert first.conclusion.standing == again.conclusion.standing
    assert first.architecture == again.architecture
    assert all(equal(copies(list(first.network.parameters())), copies(list(again.network.parameters()))))


def test_the_end_is_inside_the_budget_and_computes_what_the_supernet_does() -> None:
    found = finished()
    assert found.met
    assert len(found.conclusion.probes) == 40
    standing = found.conclusion.standing
    assert standing is not None and set(standing.predicted_gain) == {"uniform", "shallow", "balanced"}
    for probabilities in (*found.conclusion.widths.values(), *found.conclusion.depths.values()):
        assert float(probabilities.sum()) == pytest.approx(1)


def test_later_rounds_ask_the_controls_and_networks_inside_the_budget() -> None:
    module, network, budgets = made()
    found = finish_search(module, network, budgets, batches(), judging=batches)
    space = module.supernet.space
    asked = [space.full.with_counts(one.widths, one.depths) for one in found.conclusion.probes]
    costs = [FLOPS.exact(space.plan, one) for one in asked]
    inside = [budgets[0].holds(cost) for cost in costs]
    assert sum(inside[20:]) >= 18  # the controls are nearly all inside
    assert sum(inside[:20]) <= 10


def test_without_epochs_the_given_network_is_asked_near_itself() -> None:
    module, network, budgets = made(epochs=0)
    before = copies(module.supernet.weight_parameters())
    found = finish_search(module, network, budgets, batches(), judging=batches)
    assert all(equal(before, copies(module.supernet.weight_parameters())))
    full = module.supernet.space.full
    first = found.conclusion.probes[0]
    assert (first.widths, first.depths) == (full.widths, full.depths)
    assert found.met


def test_probabilities_are_even_before_anything_is_asked_and_shares_of_draws_after() -> None:
    module, network, budgets = made()
    widths, depths = module.strategy.probabilities()
    assert all(torch.allclose(p, p[0]) for p in (*widths.values(), *depths.values()))
    finish_search(module, network, budgets, batches(), judging=batches)
    widths, _ = module.strategy.probabilities()
    assert all(torch.allclose(20 * p, (20 * p).round(), atol=1e-4) for p in widths.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"samples": 3}, "--samples goes with --strategy gumbel-mixture, not with sandwich"),
        (
            {"strategy": "gumbel-mixture", "probes": 50},
            "--probes goes with --strategy sandwich, not with gumbel-mixture",
        ),
        ({"probes": 5}, "--probes is 5"),
        ({"held_out": 1.0}, "--held-out is 1.0; allowed: above 0, below 1"),
        ({"strategy": "ddp"}, "Lightning's is --lightning-strategy"),
    ],
)
def test_options_of_the_other_strategy_and_impossible_ones_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TasError, match=said):
        Strategy(**given)


def test_a_search_that_asks_is_not_finished_without_images_to_ask_by() -> None:
    module, network, budgets = made()
    with pytest.raises(TasError, match="judging is missing"):
        finish_search(module, network, budgets, batches())
