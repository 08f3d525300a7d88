import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from tas.comparison.rank_correlation import RankCorrelation, pooled_rankings, together
from tas.comparison.tables import pooled_table

ONE_DEVIATION = 2 * norm.sf(1)
"""The two-sided p-value of a rank correlation that is one standard deviation from none."""


def ranked(
    seed: int, tau: float | None, p_value: float | None, found: float = 0.72, **other: object
) -> RankCorrelation:
    values: dict[str, object] = {"method": "tas", "measure": "flops", "target": 0.5, "networks": 20, "found_beats": 18}
    values |= {"accuracy_mean": 0.7, "accuracy_best": 0.73, "found_accuracy": found}
    return RankCorrelation(seed=seed, kendall_tau=tau, p_value=p_value, **(values | other))  # type: ignore[arg-type]


def test_seeds_that_agree_make_a_correlation_surer() -> None:
    (pooled,) = pooled_rankings([ranked(0, 0.2, ONE_DEVIATION), ranked(1, 0.3, ONE_DEVIATION)])
    assert pooled.kendall_tau == pytest.approx(0.25)
    assert pooled.p_value == pytest.approx(2 * norm.sf(math.sqrt(2)))
    assert (pooled.seeds, pooled.found_beats, pooled.networks) == (2, 36, 40)


def test_seeds_that_contradict_each_other_leave_nothing() -> None:
    (pooled,) = pooled_rankings([ranked(0, 0.2, ONE_DEVIATION), ranked(1, -0.2, ONE_DEVIATION)])
    assert pooled.kendall_tau == pytest.approx(0)
    assert pooled.p_value == pytest.approx(1)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-6, 1)), min_size=1, max_size=5))
def test_the_direction_does_not_matter(known: list[tuple[float, float]]) -> None:
    # A tau of exactly 0 has a p-value of 1, which says the same in either direction.
    known = [(tau, p_value if tau else 1.0) for tau, p_value in known]
    assert together(known) == pytest.approx(together([(-tau, p_value) for tau, p_value in known]), abs=1e-9)
    assert 0 <= together(known) <= 1


def test_the_gain_over_random_networks_has_students_interval() -> None:
    seeds = [ranked(seed, 0.2, 0.5, found=0.7 + gap) for seed, gap in enumerate((0.01, 0.02, 0.03))]
    (pooled,) = pooled_rankings(seeds)
    half = 4.302652729911275 * 0.01 / math.sqrt(3)
    assert (pooled.gain, pooled.low, pooled.high) == pytest.approx((0.02, 0.02 - half, 0.02 + half))
    assert "+2.00 (-0.48 to +4.48)" in pooled_table([pooled])


def test_methods_and_targets_are_pooled_apart_and_one_seed_has_no_interval() -> None:
    pooled = pooled_rankings([ranked(0, 0.2, 0.5), ranked(0, 0.2, 0.5, target=0.3), ranked(0, None, None, method="x")])
    assert [(one.method, one.target, one.seeds, one.low) for one in pooled] == [
        ("tas", 0.5, 1, None),
        ("tas", 0.3, 1, None),
        ("x", 0.5, 1, None),
    ]
    assert pooled[2].kendall_tau is None and pooled[2].p_value is None
    assert "| +2.00 " in pooled_table(pooled)
