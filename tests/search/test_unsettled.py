"""A search that has not settled says why."""

import pytest
import torch

from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.runs.results import Standing
from tas.search.conclusion import Conclusion
from tas.search.confidence import unsettled
from tests.spaces import paper_space, unpruned

SPACE = paper_space(unpruned("resnet20"))
WHOLE = FLOPS.exact(SPACE.plan, SPACE.full)


def conclusion(peak: float, tau: float | None = None) -> Conclusion:
    """Of which all candidates are alike but the last, by how much that is likelier."""
    distributions = []
    for choices in (SPACE.widths, SPACE.depths):
        learned = {
            name: torch.full((len(candidates),), (1 - peak) / len(candidates)) for name, candidates in choices.items()
        }
        for probabilities in learned.values():
            probabilities[-1] += peak
        distributions.append(learned)
    standing = None if tau is None else Standing(
        probes=30, r_squared=0.1, tau=tau, predicted_gain={}, control=None, elasticities={}
    )  # fmt: skip
    return Conclusion(SPACE.full, SPACE.full, *distributions, standing)


def test_what_is_sure_and_costs_what_was_asked_has_settled() -> None:
    assert unsettled(conclusion(0.5), SPACE.plan, [Budget(WHOLE)]) == []


def test_a_draw_and_a_cost_beside_the_budget_are_said() -> None:
    draw, cost = unsettled(conclusion(0.05), SPACE.plan, [Budget(WHOLE / 2)])
    assert draw == "confidence 0.050: close to a draw among the networks inside the budget"
    assert cost == "the likeliest candidates together cost 40,813,184 FLOPs, not 19,386,262 to 21,426,921 FLOPs"


@pytest.mark.parametrize(("tau", "settled"), [(0.19, False), (0.2, True), (float("nan"), False)])
def test_scores_that_order_nothing_are_said(tau: float, settled: bool) -> None:
    assert (unsettled(conclusion(0.01, tau), SPACE.plan, [Budget(1.0)]) == []) is settled
