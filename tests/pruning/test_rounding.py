"""--round-to: of what every method that takes it keeps the widths multiples."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tas.config.methods import METHODS
from tas.errors import TasError
from tas.pruning.channels import Floored, bundled
from tas.pruning.rules import all_widths, uniform
from tests.pruning.conftest import same_outputs
from tests.small_networks import chain, conv

ROUNDING = [name for name, method in METHODS.items() if "round_to" in method.options]

few_values = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=40)
"""Scores of which many are alike."""


@pytest.mark.parametrize("method", ROUNDING)
def test_widths_are_multiples_or_full_and_the_network_is_the_nearest(make_task: Callable, method: str) -> None:
    task = make_task(method, share=0.45, round_to=8)
    found = METHODS[method].load()(task)
    widths = found.architecture.widths
    assert all(kept % 8 == 0 or kept == task.full.widths[name] for name, kept in widths.items())
    assert any(kept < task.full.widths[name] for name, kept in widths.items())
    assert found.cost == task.cost(found.architecture)
    assert same_outputs(found.architecture, found.network, task.input_shape)
    if not task.budget.holds(found.cost):
        distances = [abs(cost - task.budget.target) for cost in found.around]
        assert abs(found.cost - task.budget.target) == min(distances)


@given(few_values, st.integers(1, 12), st.floats(-1, 6))
def test_every_threshold_leaves_a_multiple_of_channels_or_all(
    scores: list[float], multiple: int, threshold: float
) -> None:
    floored = Floored(lambda group: None, multiple).floored(torch.tensor(scores))
    assert floored is not None
    stay = int((floored > threshold).sum())
    assert stay == len(scores) or (stay % multiple == 0 and stay >= 0.1 * len(scores))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30))
def test_channels_that_go_one_by_one_keep_their_scores(scores: list[float]) -> None:
    given = torch.tensor(scores, dtype=torch.float64)
    assert torch.equal(bundled(given, 1), given)


def test_the_worst_channels_go_together_and_first_those_too_many_for_a_multiple() -> None:
    scores = torch.tensor([7.0, 1.0, 4.0, 2.0, 9.0, 3.0, 8.0, torch.inf, torch.inf, torch.inf])
    # Ten channels by threes: the worst alone, then three and three; the best stay.
    expected = torch.tensor([8.0, 1.0, 3.0, 3.0, 8.0, 3.0, 8.0, torch.inf, torch.inf, torch.inf])
    assert torch.equal(bundled(scores, 3), expected)


def test_a_full_width_that_is_no_multiple_stays_a_candidate(make_task: Callable) -> None:
    network = chain(conv(1, 20), nn.ReLU(), conv(20, 24), nn.ReLU(), conv(24, 8))
    network[-1] = nn.Linear(8, 10)
    task = make_task("uniform", "tests.small_networks:chain", network=network, round_to=8)
    assert sorted(all_widths(task).widths.values()) == [(8,), (8, 16, 20), (8, 16, 24)]


def test_groups_ask_for_their_own_multiples_too(make_task: Callable) -> None:
    network = chain(conv(1, 24), nn.BatchNorm2d(24), conv(24, 24, groups=3), nn.BatchNorm2d(24), conv(24, 8))
    network[-1] = nn.Linear(8, 10)
    task = make_task("uniform", "tests.small_networks:chain", network=network)
    units = dict(task.plan.units)
    (grouped,) = {unit for unit in units.values() if unit > 1}
    rounded = replace(task, options=task.options.changed(round_to=grouped + 1))
    candidates = all_widths(rounded).widths
    assert all(
        one % units.get(name, 1) == 0 and one % (grouped + 1) == 0
        for name, own in candidates.items()
        for one in own[:-1]
    )


def test_a_multiple_that_leaves_nothing_to_remove_is_refused(make_task: Callable) -> None:
    with pytest.raises(TasError, match="no channel that it could remove by multiples of 64, as --round-to asks"):
        METHODS["l1"].load()(make_task("l1", round_to=64))
    # A rule has the unpruned network left, and says that it is not inside.
    task = make_task("uniform", round_to=64)
    found = uniform(task)
    assert found.architecture == task.full and not task.budget.holds(found.cost)


@pytest.mark.parametrize("method", ["sss", "unstructured"])
def test_methods_that_leave_the_widths_alone_refuse_it_and_name_those_that_take_it(make_task: Callable, method) -> None:
    with pytest.raises(TasError) as refused:
        make_task(method, round_to=8)
    assert str(refused.value) == f"--round-to goes with --method {' or '.join(ROUNDING)}, not with {method}"
