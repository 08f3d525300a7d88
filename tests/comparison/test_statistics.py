import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tas.comparison.statistics import differences, means, pareto_front
from tests.comparison.rows import difference, row, unpruned

CONTROLS = ("uniform", "random")


def test_a_mean_has_the_sample_standard_deviation_over_seeds() -> None:
    rows = [row("tas", 0, 0.5, params=100), row("tas", 1, 0.7, params=300, flops_ratio=0.52, search_seconds=30.0)]
    (mean,) = means(rows)
    assert mean.accuracy_mean == pytest.approx(0.6)
    assert mean.accuracy_std == pytest.approx(0.1 * math.sqrt(2))
    assert (mean.seeds, mean.params, mean.search_seconds) == (2, 200, 20.0)
    assert mean.flops_ratio == pytest.approx(0.51)


def test_one_seed_has_no_spread_and_one_miss_is_a_miss() -> None:
    assert means([row("tas", 0, 0.5)])[0].accuracy_std is None
    assert not means([row("tas", 0, 0.5), row("tas", 1, 0.5, target_met=False)])[0].target_met


def test_means_are_kept_apart_by_method_target_training_and_teacher() -> None:
    rows = [
        row("tas", 0, 0.1),
        row("uniform", 0, 0.2),
        row("tas", 0, 0.3, target=0.3),
        row("tas", 0, 0.4, training="init"),
        row("tas", 0, 0.5, kd=True),
        unpruned(0, 0.9),
    ]
    assert [mean.accuracy_mean for mean in means(rows)] == [one.test_accuracy for one in rows]
    assert means(rows)[4].training == "scratch-e+kd"


def test_the_interval_of_three_differences_is_students() -> None:
    # Differences 1, 2, 3 points: mean 2, deviation 1, t(0.975, 2) = 4.3027.
    found = difference([0.01, 0.02, 0.03])
    half = 4.302652729911275 * 0.01 / math.sqrt(3)
    assert (found.mean, found.low, found.high) == pytest.approx((0.02, 0.02 - half, 0.02 + half))
    assert found.verdict == "within the spread"
    assert difference([0.019, 0.02, 0.021]).verdict == "better"
    assert difference([-0.019, -0.02, -0.021]).verdict == "worse"


def test_nothing_is_concluded_from_two_seeds_from_no_spread_or_at_unequal_cost() -> None:
    assert difference([0.02, 0.0201]).verdict is None
    assert difference([0.25, 0.25, 0.25]).verdict is None
    assert difference([0.1 + 0.2, 0.3, 0.3]).verdict is None  # but for rounding
    missed = difference([0.019, 0.02, 0.021], flops_ratio=0.57, target_met=False)
    assert (missed.cost_ratio, missed.control_cost_ratio) == (pytest.approx(0.57), 0.5)
    assert (missed.target_met, missed.control_target_met, missed.verdict) == (False, True, None)


def test_differences_are_paired_over_the_seeds_that_both_have() -> None:
    rows = [
        *(row("uniform", seed, accuracy) for seed, accuracy in ((0, 0.50), (1, 0.60), (2, 0.70))),
        *(row("tas", seed, accuracy) for seed, accuracy in ((2, 0.71), (0, 0.51), (5, 0.0))),
        row("l1", 9, 0.4),
        row("random", 1, 0.5),
        row("random", 1, 0.5, kd=True),  # without a control
        unpruned(0, 0.9),
    ]
    found = {one.method: one for one in differences(rows, CONTROLS) if one.control == "uniform"}
    assert set(found) == {"tas", "l1", "random"}
    assert (found["tas"].seeds, found["tas"].mean) == (2, pytest.approx(0.01))
    assert (found["l1"].seeds, found["l1"].mean, found["l1"].verdict) == (0, None, None)
    assert (found["random"].seeds, found["random"].mean, found["random"].verdict) == (1, pytest.approx(-0.1), None)


def test_methods_are_compared_with_each_control_and_controls_once_with_each_other() -> None:
    methods = ("random", "tas", "uniform")
    rows = [*(row(method, 0, accuracy) for method, accuracy in zip(methods, (0.52, 0.55, 0.5))), unpruned(0, 0.9)]
    gaps = {(one.method, one.control): one.mean for one in differences(rows, CONTROLS)}
    assert list(gaps) == [("random", "uniform"), ("tas", "uniform"), ("tas", "random")]
    assert list(gaps.values()) == pytest.approx([0.02, 0.05, 0.03])
    assert [(one.method, one.control) for one in differences(rows[:2], CONTROLS)] == [("tas", "random")]
    assert [one.method for one in differences(rows, ["tas"])] == ["random", "uniform"]


def test_targets_of_parameters_are_met_and_compared_by_parameters() -> None:
    rows = [row(method, 0, 0.5, measure=measure) for method in ("tas", "uniform") for measure in ("flops", "params")]
    assert [(one.measure, one.cost_ratio) for one in means(rows)] == 2 * [("flops", 0.5), ("params", 0.4)]
    assert [(one.measure, one.cost_ratio) for one in differences(rows, CONTROLS)] == [("flops", 0.5), ("params", 0.4)]
    missed = difference([0.01, 0.02, 0.03], "params", params_ratio=0.7, target_met=False)
    assert (missed.cost_ratio, missed.control_cost_ratio) == (pytest.approx(0.7), pytest.approx(0.4))


@given(st.lists(st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float)), max_size=12))
def test_the_pareto_front_is_what_no_point_beats(points: list[tuple[float, float]]) -> None:
    def beaten(point: tuple[float, float]) -> bool:
        return any(o != point and o[0] <= point[0] and o[1] >= point[1] for o in points)

    assert pareto_front(points) == sorted({point for point in points if not beaten(point)})
