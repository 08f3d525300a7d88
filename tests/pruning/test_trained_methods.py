"""Methods that train: slimming, blocks, codes, random search."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_pruning as tp
from torch import nn

from tas.config.methods import METHODS
from tas.cost.measures import FLOPS, MEASURES
from tas.cutting.build import build
from tas.cutting.cut import cut
from tas.errors import TasError
from tas.pruning import blocks, random_search
from tas.pruning.autopruner import Codes, channel_sets, soft_cost
from tas.pruning.blocks import fold, moved_up, removable_blocks, sss
from tas.pruning.slimming import Sparsity, sparsity_pruner
from tas.pruning.task import PruneTask
from tas.pruning.training import train_here
from tas.space.space import SearchSpace
from tests.pruning.conftest import same_outputs


def scales(network: nn.Module) -> torch.Tensor:
    return torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, nn.BatchNorm2d)])


def candidates(task: PruneTask) -> list[dict[str, Any]]:
    """The finished candidates of a random search."""
    rows: list[dict[str, Any]] = json.loads((task.run.path / "candidates.json").read_text())
    return rows


def test_slimmings_penalty_shrinks_scales_by_what_it_should(make_task: Callable) -> None:
    """On a network whose loss gives the scales no gradient nothing else moves them."""
    task = make_task("slimming", sparsity_weight=0.5, lr=0.01, momentum=0.0, weight_decay=0.0)
    nn.init.zeros_(task.network.fc.weight)
    pruner = sparsity_pruner(task, task.network, tp.importance.BNScaleImportance(normalizer=None))
    task.network.fc.requires_grad_(False)
    train_here(task, task.network, Sparsity(pruner, task.options.pruning.sparsity_weight))
    # Two steps, at the start of the cosine and half-way down: 0.01 x (1 + 1/2) x 0.5.
    torch.testing.assert_close(scales(task.network), torch.full_like(scales(task.network), 1 - 0.0075))


def test_the_weight_that_follows_from_the_training_takes_all_of_a_scale(make_task: Callable) -> None:
    task = make_task("slimming", epochs=3, momentum=0.0, weight_decay=0.0)
    nn.init.zeros_(task.network.fc.weight)
    task.network.fc.requires_grad_(False)
    sparsity = Sparsity(sparsity_pruner(task, task.network, tp.importance.BNScaleImportance(normalizer=None)), None)
    train_here(task, task.network, sparsity)
    assert sparsity.weight == pytest.approx(1 / (0.1 * 7 / 2))  # six steps
    torch.testing.assert_close(scales(task.network), torch.zeros_like(scales(task.network)), atol=1e-6, rtol=0)


def test_slimming_shrinks_most_scales_even_in_a_short_training(make_task: Callable) -> None:
    task = make_task("slimming", epochs=10, batch_size=8)
    network = copy.deepcopy(task.network)
    train_here(task, network, Sparsity(sparsity_pruner(task, network, tp.importance.BNScaleImportance()), None))
    assert scales(task.network).median() == 1
    assert scales(network).median() < 0.5


def test_sss_shrinks_factors_even_in_a_short_training(make_task: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    factors: list[float] = []
    monkeypatch.setattr(blocks, "fold", lambda network, names, values: factors.extend(values))
    monkeypatch.setattr(blocks, "check_gates", lambda task, ends: None)
    found = sss(make_task("sss", epochs=10, batch_size=8))
    assert found.sparsity_weight == pytest.approx(1 / (0.1 * 81 / 2))  # 80 steps
    assert len(factors) == 6 and max(factors) < 0.9


def test_sss_moves_the_blocks_that_stay_to_the_front(make_task: Callable) -> None:
    task = make_task("sss")
    network = task.network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.uniform_(module.running_mean)
    ends = removable_blocks(task.plan)
    assert list(ends) == [(f"stage{stage}", block) for stage in (1, 2, 3) for block in (1, 2)]
    gone = [("stage1", 1), ("stage3", 1)]
    architecture = task.full.with_counts(task.full.widths, {"stage1": 2, "stage2": 3, "stage3": 2})
    small = cut(network, task.plan, architecture, moved_up(network.state_dict(), task.plan, gone))
    fold(network, [ends[block] for block in gone], [0.0, 0.0])
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(small.eval()(images), network(images))


def test_the_l1_step_reaches_zero_and_stays_there() -> None:
    factors = blocks.BlockFactors(2, weight=0.5, momentum=0.0)
    factors.stepper = factors.optimizer()
    factors.stepper.param_groups[0]["lr"] = 0.1
    with torch.no_grad():
        factors.gates[0].fill_(0.04)
        factors.after_step(None)  # type: ignore[arg-type]
    assert [round(gate.item(), 6) for gate in factors.gates] == [0.0, 0.95]


@pytest.mark.parametrize(("share", "met"), [(0.5, False), (0.302, True)])
def test_sss_hands_over_whole_blocks_and_tells_what_it_can_reach(make_task: Callable, share: float, met: bool) -> None:
    task = make_task("sss", share=share)
    found = sss(task)
    assert task.budget.holds(found.cost) == met
    assert found.cost == FLOPS.exact(task.plan, found.architecture)
    assert min(found.around) <= task.budget.target <= max(found.around)
    assert dict(found.architecture.widths) == dict(task.full.widths)
    assert same_outputs(found.architecture, found.network, task.input_shape)


def test_a_network_without_blocks_is_refused(make_task: Callable) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    with pytest.raises(TasError, match="it has no blocks that could be left out"):
        sss(make_task("sss", "torch.nn:Sequential", network=network))
    with pytest.raises(TasError, match="it has no batch norm"):
        METHODS["slimming"].load()(make_task("slimming", "torch.nn:Sequential", network=network))


@pytest.mark.parametrize("measure", MEASURES)
def test_the_soft_cost_of_whole_channels_is_the_cost(make_task: Callable, measure: str) -> None:
    task = make_task("autopruner")
    generator = torch.Generator().manual_seed(0)
    sets = channel_sets(task, task.network.eval().requires_grad_(True))[1]
    assert {name for one in sets for name in one.widths} == set(task.full.widths)
    kept = {one: torch.randint(1, one.channels + 1, (), generator=generator) for one in sets}
    widths = {name: kept[one] for one in sets for name in one.widths}
    whole = task.full.with_counts({name: int(count) for name, count in widths.items()}, task.full.depths)
    assert float(soft_cost(MEASURES[measure], task.plan, widths)) == MEASURES[measure].exact(task.plan, whole)


def test_folded_codes_do_what_the_hooks_did(make_task: Callable) -> None:
    task = make_task("autopruner")
    network = task.network.eval().requires_grad_(True)
    codes = Codes(task, channel_sets(task, network)[1])
    with torch.no_grad():
        for code in codes.gates:
            code.normal_()
    images = torch.rand(2, 1, 8, 8)
    hooks = codes.attach()
    with torch.no_grad():
        gated = network(images)
        for hook in hooks:
            hook.remove()
        assert not torch.allclose(gated, network(images), atol=1e-3)
        codes.fold()
        torch.testing.assert_close(network(images), gated, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_codes_start_at_the_target_and_the_penalty_draws_them_to_it(make_task: Callable, measure: str) -> None:
    task = make_task("autopruner", measure=measure)
    sets = channel_sets(task, task.network.eval().requires_grad_(True))[1]
    codes = Codes(task, sets)
    with torch.no_grad():
        for code in codes.gates:
            code.fill_(2.0)
    codes.stepper = codes.optimizer()

    def share() -> float:
        kept = {name: value.sum() for one, value in zip(codes.gated, codes.values()) for name in one.widths}
        return float(
            (soft_cost(MEASURES[measure], task.plan, kept) / soft_cost(MEASURES[measure], task.plan, {})).detach()
        )

    assert share() > 0.6
    for _ in range(150):
        codes.before_step(None, 0.0)  # type: ignore[arg-type]
        codes.stepper.step()
        codes.stepper.zero_grad()
    assert share() == pytest.approx(0.5, abs=0.02)


def test_16_bit_gradients_are_refused_where_factors_would_get_them(make_task: Callable) -> None:
    with pytest.raises(TasError, match=r"--precision 16-mixed: not with --method sss.*allowed: 32-true, bf16-mixed"):
        sss(make_task("sss", precision="16-mixed"))


def test_random_search_keeps_the_best_candidate_and_goes_on_after_the_finished_ones(
    make_task: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.3, 0.9, 0.5, 0.9, 0.5])
    trained: list[int] = []
    train = random_search.train_apart

    def counted(network: nn.Module, images: object, *rest: object) -> torch.device:
        trained.append(len(images.dataset))  # type: ignore[attr-defined]
        return train(network, images, *rest)  # type: ignore[arg-type]

    def accuracy(network: nn.Module, images: object, device: torch.device) -> float:
        value = next(scores)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return value

    monkeypatch.setattr(random_search, "train_apart", counted)
    monkeypatch.setattr(random_search, "evaluate", accuracy)
    task = make_task("random", candidates=3, batch_size=16)
    with pytest.raises(KeyboardInterrupt):
        METHODS["random"].load()(task)
    assert len(candidates(task)) == 1
    found = METHODS["random"].load()(task)
    assert trained == [32, 32, 32, 32], "a half of the 64 training images, and the first candidate once"
    rows = candidates(task)
    assert [row["val_accuracy"] for row in rows] == [0.3, 0.5, 0.9]
    assert task.budget.holds(found.cost)
    assert dict(found.architecture.widths) == rows[2]["widths"]
    assert found.cost == rows[2]["cost"]
    assert same_outputs(found.architecture, found.network, task.input_shape)


def test_random_search_ranks_from_fresh_weights_and_hands_over_the_given_ones(
    make_task: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[dict[str, torch.Tensor]] = []
    monkeypatch.setattr(random_search, "train_apart", lambda network, *rest: starts.append(network.state_dict()))
    monkeypatch.setattr(random_search, "evaluate", lambda *given: 1.0)
    task = make_task("random")
    with torch.no_grad():
        task.network.conv1.weight.fill_(7.0)  # no fresh weight is
    found = METHODS["random"].load()(task)
    torch.manual_seed(task.seed)
    fresh = build(found.architecture).state_dict()
    assert starts[0].keys() == fresh.keys()
    assert all(torch.equal(starts[0][name], fresh[name]) for name in fresh)
    assert (found.network.conv1.weight == 7.0).all()


def test_random_search_tells_what_its_space_can_reach(make_task: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_search, "train_apart", lambda *given: None)
    monkeypatch.setattr(random_search, "evaluate", lambda *given: 1.0)
    task = make_task("random", share=0.01)
    found = METHODS["random"].load()(task)
    space = SearchSpace.of(task.plan, task.full)
    assert not task.budget.holds(found.cost)
    assert found.around == (found.cost,) == (FLOPS.exact(task.plan, space.smallest()),)


def test_a_damaged_candidates_file_is_named(make_task: Callable) -> None:
    task = make_task("random")
    (task.run.path / "candidates.json").write_text("[{}]")
    with pytest.raises(TasError, match=r"candidates\.json: damaged; delete it"):
        METHODS["random"].load()(task)
