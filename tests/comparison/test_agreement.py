from dataclasses import replace

import pytest
import torch

from tas.comparison.agreement import FoundBySeeds, agreements, distance, mean_distance
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.space.random_networks import random_architecture
from tests.spaces import paper_space, unpruned

FULL = unpruned("resnet20", 10)
SPACE = paper_space(FULL)
VARIED = len(FULL.widths) + len(FULL.depths)


def test_the_distance_is_the_mean_gap_as_a_share_of_the_full_count() -> None:
    name = next(iter(FULL.widths))
    other = replace(FULL, widths={**FULL.widths, name: FULL.widths[name] // 2})
    assert distance(SPACE, FULL, FULL) == 0
    assert distance(SPACE, FULL, other) == distance(SPACE, other, FULL) == pytest.approx(0.5 / VARIED)


def test_widths_of_blocks_that_one_network_leaves_out_do_not_count() -> None:
    stage, blocks = next(iter(FULL.depths.items()))
    shallow = replace(FULL, depths={**FULL.depths, stage: blocks - 1})
    gone = {
        layer.writes.source
        for layer in SPACE.plan.layers
        if layer.stage == stage and layer.block == blocks - 1 and isinstance(layer.writes.source, str)
    }
    thin = replace(shallow, widths={n: c // 2 if n in gone else c for n, c in FULL.widths.items()})
    assert gone
    assert distance(SPACE, FULL, thin) == pytest.approx(1 / blocks / (VARIED - len(gone)))


def test_the_mean_is_over_all_pairs() -> None:
    name = next(iter(FULL.widths))
    other = replace(FULL, widths={**FULL.widths, name: FULL.widths[name] // 2})
    assert mean_distance(SPACE, [FULL, FULL, other]) == pytest.approx(2 / 3 * 0.5 / VARIED)


@pytest.mark.slow  # drawing inside a budget
def test_equal_networks_agree_wholly_and_random_ones_as_random_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(0.5 * FLOPS.exact(SPACE.plan, FULL), 0.02)
    generator = torch.Generator().manual_seed(5)
    drawn = [random_architecture(SPACE, [budget], generator) for _ in range(8)]
    monkeypatch.setattr("tas.comparison.agreement.DRAWN", 10)
    same, other = agreements(
        [FoundBySeeds("a", "flops", 0.5, SPACE, [drawn[0]] * 3), FoundBySeeds("b", "flops", 0.5, SPACE, drawn)], 0.02
    )
    assert (same.method, same.distance, same.ratio, same.seeds) == ("a", 0, 0, 3)
    assert other.random_distance == same.random_distance
    assert other.ratio == pytest.approx(1, abs=0.15)
