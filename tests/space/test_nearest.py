import pytest
from hypothesis import given
from hypothesis import strategies as st

from tas.space.nearest import nearest, nearest_to_all


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.integers(-100, 1100))
def test_bisection_finds_what_a_scan_finds(counts: list[int], target: int) -> None:
    falling = sorted(counts, reverse=True)
    best = nearest(lambda setting: falling[setting], len(falling) - 1, target)
    assert best.cost == falling[best.knob]
    assert abs(best.cost - target) == min(abs(count - target) for count in falling)


@pytest.mark.parametrize(("target", "around"), [(5, (4, 6)), (6, (4, 6)), (20, (8, 10)), (-1, (0, 2))])
def test_what_lies_around_the_target_is_told(target: int, around: tuple[int, ...]) -> None:
    falling = [10, 8, 6, 4, 2, 0]
    assert nearest(lambda setting: falling[setting], 5, target).around == around


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 90), st.integers(0, 5)), min_size=1, max_size=40),
    st.tuples(st.integers(1, 1100), st.integers(1, 100), st.integers(1, 6)),
    st.floats(0.001, 0.5),
)
def test_of_several_costs_the_largest_share_of_distance_is_the_least_that_a_scan_finds(
    counts: list[tuple[int, int, int]], targets: tuple[int, int, int], tolerance: float
) -> None:
    falling = list(zip(*(sorted(own, reverse=True) for own in zip(*counts))))
    found = nearest_to_all(lambda setting: falling[setting], len(falling) - 1, targets, [False] * 3)

    def farthest(costs: tuple[int, ...]) -> float:
        return max(abs(cost - target) / target for cost, target in zip(costs, targets))

    assert farthest(falling[found.knob]) == min(map(farthest, falling))
    # So it is inside all bands of one tolerance where anything is.
    inside = [farthest(costs) <= tolerance for costs in falling]
    assert inside[found.knob] == any(inside)
    assert found.cost == falling[found.knob][0]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.integers(1, 1100))
def test_one_cost_is_found_the_same_alone_and_as_one_of_several(counts: list[int], target: int) -> None:
    falling = sorted(counts, reverse=True)
    alone = nearest(lambda setting: falling[setting], len(falling) - 1, target)
    assert nearest_to_all(lambda setting: [falling[setting]] * 2, len(falling) - 1, [target] * 2, [False] * 2) == alone


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.integers(1, 1100))
def test_under_a_limit_the_largest_network_is_taken_that_keeps_to_it(counts: list[int], target: int) -> None:
    falling = sorted(counts, reverse=True)
    found = nearest(lambda setting: falling[setting], len(falling) - 1, target, limit=True)
    inside = [place for place, count in enumerate(falling) if count <= target]
    assert falling[found.knob] == (falling[inside[0]] if inside else falling[-1])


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000)), min_size=1, max_size=40),
    st.tuples(st.integers(1, 1100), st.integers(1, 1100)),
)
def test_what_is_below_a_limit_is_not_away_from_it(counts: list[tuple[int, int]], targets: tuple[int, int]) -> None:
    falling = list(zip(*(sorted(own, reverse=True) for own in zip(*counts))))
    found = nearest_to_all(lambda setting: falling[setting], len(falling) - 1, targets, (False, True))

    def farthest(costs: tuple[int, ...]) -> float:
        return max(abs(costs[0] - targets[0]) / targets[0], (costs[1] - targets[1]) / targets[1])

    assert farthest(falling[found.knob]) == min(map(farthest, falling))
