"""The candidates of widths and depths."""

from collections import OrderedDict

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

import tas
from tas.config.groups import Space
from tas.errors import TasError
from tas.space.of_network import search_space
from tas.space.space import depth_candidates, width_candidates
from tests.spaces import paper_space, unpruned

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
    assert len(candidates) <= len(Space.ratios)


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
    full = unpruned("resnet56", 10)
    space = paper_space(full)
    assert space.full is full
    assert list(space.widths) == list(full.widths)
    assert list(space.depths) == list(full.depths)
    assert space.widths["stage2.8.conv2"] == width_candidates(32)
    assert space.depths["stage3"] == (1, 3, 5, 7, 9)


def test_what_is_not_searched_has_the_unpruned_network_s_value_alone():
    full = unpruned("resnet56", 10)
    only_depths = paper_space(full, search="depth")
    assert only_depths.widths == {name: (width,) for name, width in full.widths.items()}
    assert only_depths.depths == paper_space(full).depths
    only_widths = paper_space(full, search="width")
    assert only_widths.depths == {name: (depth,) for name, depth in full.depths.items()}
    assert only_widths.widths == paper_space(full).widths


def test_given_ratios_take_the_place_of_the_paper_s():
    space = paper_space(unpruned("resnet20", 10), ratios=(0.25, 1.0))
    assert space.widths["conv1"] == (4, 16)
    assert space.widths["stage3.0.conv1"] == (16, 64)


def test_the_smallest_network_has_the_first_candidate_of_everything():
    full = unpruned("resnet56", 100, in_channels=1)
    smallest = paper_space(full).smallest()
    assert smallest.widths == {name: int(width * 0.3) for name, width in full.widths.items()}
    assert set(smallest.depths.values()) == {1}
    assert (smallest.network, smallest.num_classes, smallest.in_channels) == ("resnet56", 100, 1)


@given(st.integers(1, 2048), PERCENT, st.integers(2, 64))
def test_with_a_multiple_each_candidate_is_the_nearest_one_to_its_share_or_full(channels, percent, multiple):
    candidates = width_candidates(channels, [share / 100 for share in percent], multiple)
    assert list(candidates) == sorted(set(candidates)) and candidates
    # In whole numbers: half a multiple away at most, unless the nearest one is 0 or not below the full width.
    for share in percent:
        near = [c for c in candidates if 2 * abs(100 * c - channels * share) <= 100 * multiple]
        assert near or channels * share < 50 * multiple or channels * share > 100 * channels - 50 * multiple
    assert all(c % multiple == 0 and 0 < c < channels for c in candidates if c != channels)
    if 100 in percent:
        assert candidates[-1] == channels


@given(st.integers(1, 256), st.integers(1, 16))
def test_a_width_with_a_unit_has_candidates_of_whole_groups(groups, unit):
    candidates = width_candidates(groups * unit, Space.ratios, unit)
    assert all(count % unit == 0 for count in candidates)
    assert candidates[-1] == groups * unit


def own_space(**options):
    """The space of a network with a tie, a group, a stage and something left alone."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(20, 20, 3, padding=1, groups=5)

        def forward(self, x):
            return x + self.conv(x).relu()

    network = nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 20, 3),
            blocks=nn.Sequential(Block(), Block()),
            head=nn.Conv2d(20, 10, 1),
            norm=nn.LocalResponseNorm(2),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            fc=nn.Linear(10, 5),
        )
    )
    return search_space(network, torch.empty(1, 3, 8, 8), **options)


def test_rounding_keeps_to_the_groups_too():
    assert own_space().plan.units == {"stem": 4}
    assert own_space(round_to=8).widths == {"stem": (8, 16, 20)}
    assert own_space(round_to=3).widths == {"stem": (12, 20)}  # multiples of 12, or full


def test_patterns_leave_layers_and_stages_alone():
    assert own_space(exclude=["stem"]).widths == {"stem": (20,)}
    # A layer that shares a width keeps it for all.
    assert own_space(exclude=["*.conv"]).widths == {"stem": (20,)}
    space = own_space(exclude=["block?"])
    assert space.depths == {"blocks": (2,)} and len(space.widths["stem"]) > 1
    assert own_space(exclude=["head"]).widths == own_space().widths  # it is left alone anyway
    with pytest.raises(TasError, match=r"'nosuch\*' fits no layer and no stage of the network; e\.g\. 'stem' is one"):
        own_space(exclude=["fc", "nosuch*"])


def test_a_fixed_number_of_channels_is_no_layer_of_that_name():
    layers = [nn.Conv2d(3, 8, 1), *(nn.Conv2d(8, 8, 1) for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(8, 4))
    space = search_space(network, torch.empty(1, 3, 8, 8), exclude=["7"])  # the classifier, of four classes
    assert len(space.widths["4"]) > 1


def test_the_table_lists_widths_depths_and_what_is_left_alone():
    lines = [" ".join(line.split()) for line in str(own_space()).splitlines()]
    assert lines == [
        "width full candidates layers that share it",
        "stem 20 8 12 16 20 stem, blocks.0.conv, blocks.1.conv",
        "",
        "depth full candidates blocks",
        "blocks 2 1 2 0 to 1 of blocks",
        "",
        "left alone:",
        "head: norm reads it, and TAS cannot make a LocalResponseNorm smaller",
        "fc: it is the network's output",
    ]


def test_a_table_has_no_part_for_what_a_network_does_not_have():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    assert "depth" not in str(search_space(network, torch.empty(1, 3, 8, 8)))
    full = unpruned("resnet20", 10)
    table = str(paper_space(full))
    assert "left alone" not in table
    assert all(name in table for name in (*full.widths, *full.depths))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 8, 9)])
def test_the_example_must_be_square_images(shape):
    with pytest.raises(TasError, match="it must be square images"):
        search_space(nn.Flatten(), torch.empty(shape))


def test_a_cifar_resnet_is_known_by_its_name_and_reading_it_draws_no_random_number():
    network = tas.build(unpruned("resnet56", 10))
    state = torch.get_rng_state()
    space = search_space(network, torch.empty(1, 3, 32, 32), residuals="free")
    assert space == paper_space(unpruned("resnet56", 10))
    tied = search_space(network, torch.empty(1, 3, 32, 32))
    assert tied.full == space.full and set(tied.widths) | set(tied.plan.tied) == set(space.widths)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_bug_in_cutting_is_seen_and_not_taken_for_a_network_that_was_read_wrongly(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr("tas.space.of_network.cut", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        own_space()


def test_a_network_of_which_the_forward_pass_fails_when_it_is_smaller_was_read_wrongly():
    class Fixed(nn.Sequential):
        def forward(self, x):
            x = super().forward(x)
            if self[0].out_channels != 8:
                raise RuntimeError("eight, please")
            return x

    network = Fixed(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    with pytest.raises(TasError, match="was read wrongly; a smaller network does not run: eight, please"):
        search_space(network, torch.empty(1, 3, 8, 8))
