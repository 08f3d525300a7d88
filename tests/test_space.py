"""The candidates of widths and depths."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tas.architecture import Architecture
from tas.space import RATIOS, depth_candidates, width_candidates
from tests.spaces import paper_space

PERCENT = st.sets(st.integers(1, 100), min_size=1).map(sorted)


def test_sixteen_channels_have_the_candidates_of_the_paper():
    assert width_candidates(16) == (4, 6, 8, 9, 11, 12, 14, 16)


def test_candidates_are_rounded_down_and_without_duplicates():
    assert width_candidates(4) == (1, 2, 3, 4)  # 1.2 1.6 2.0 2.4 2.8 3.2 3.6 4.0
    assert width_candidates(10) == (3, 4, 5, 6, 7, 8, 9, 10)
    assert width_candidates(1) == (1,)


@given(st.integers(1, 2048), PERCENT)
@example(100, [29])  # 100 * 0.29 comes out below 29
def test_a_width_candidate_is_the_whole_part_of_its_share_and_at_least_one(channels, percent):
    # In whole numbers, so that no rounding of a ratio like 0.7 can enter.
    expected = sorted({max(1, channels * share // 100) for share in percent})
    assert width_candidates(channels, [share / 100 for share in percent]) == tuple(expected)


@given(st.integers(1, 2048))
def test_the_paper_s_ratios_keep_the_full_width_as_last_candidate(channels):
    candidates = width_candidates(channels)
    assert candidates[-1] == channels
    assert candidates[0] >= 1
    assert len(candidates) <= len(RATIOS)


@pytest.mark.parametrize(
    ("blocks", "candidates"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (3, (1, 2, 3)),
        (4, (1, 3, 4)),
        (5, (1, 3, 5)),
        (9, (1, 3, 5, 7, 9)),
        (18, (1, 3, 5, 7, 9, 11, 13, 15, 17, 18)),
    ],
)
def test_depth_candidates(blocks, candidates):
    assert depth_candidates(blocks) == candidates


@given(st.integers(4, 200))
def test_above_three_blocks_a_depth_is_odd_or_full(blocks):
    candidates = depth_candidates(blocks)
    assert set(candidates) == {depth for depth in range(1, blocks + 1) if depth % 2 == 1 or depth == blocks}
    assert list(candidates) == sorted(candidates)


def test_the_space_has_the_candidates_of_every_width_and_depth_of_the_network():
    full = Architecture.full("resnet56", 10)
    space = paper_space(full)
    assert space.full is full
    assert list(space.widths) == list(full.widths)
    assert list(space.depths) == list(full.depths)
    assert space.widths["stage2.8.conv2"] == width_candidates(32)
    assert space.depths["stage3"] == (1, 3, 5, 7, 9)


def test_what_is_not_searched_has_the_unpruned_network_s_value_alone():
    full = Architecture.full("resnet56", 10)
    only_depths = paper_space(full, search_widths=False)
    assert only_depths.widths == {name: (width,) for name, width in full.widths.items()}
    assert only_depths.depths == paper_space(full).depths
    only_widths = paper_space(full, search_depths=False)
    assert only_widths.depths == {name: (depth,) for name, depth in full.depths.items()}
    assert only_widths.widths == paper_space(full).widths


def test_given_ratios_take_the_place_of_the_paper_s():
    space = paper_space(Architecture.full("resnet20", 10), ratios=(0.25, 1.0))
    assert space.widths["conv1"] == (4, 16)
    assert space.widths["stage3.0.conv1"] == (16, 64)


def test_the_smallest_network_has_the_first_candidate_of_everything():
    full = Architecture.full("resnet56", 100, in_channels=1)
    smallest = paper_space(full).smallest()
    assert smallest.widths == {name: int(width * 0.3) for name, width in full.widths.items()}
    assert set(smallest.depths.values()) == {1}
    assert (smallest.network, smallest.num_classes, smallest.in_channels) == ("resnet56", 100, 1)
