import pytest
from hypothesis import given
from hypothesis import strategies as st

from tas.space.nearest import nearest


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
