"""Reading any network: what its additions, concatenations and groups tie together, and what is left alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tas.reading.plan import Plan, Segment
from tas.reading.readers import read_plan
from tas.reading.rules import RULES
from tas.space.of_network import search_space
from tests.parity import assert_gradients, assert_parity
from tests.small_networks import SMALL, Made, chain, conv, pooled

IMAGE = (3, 8, 8)


def read(network: nn.Module, shape: tuple[int, ...] = IMAGE) -> Plan:
    return read_plan(network, shape)


def reads(plan: Plan, layer: str) -> list[tuple[str | int, int]]:
    return [(s.source, s.repeat) for item in plan.layers if item.name == layer for s in item.reads]


def writers(plan: Plan, width: str) -> set[str]:
    return {layer.name for layer in plan.layers if layer.writes.source == width}


@pytest.mark.parametrize("name", SMALL)
def test_forced_to_a_choice_the_supernet_is_the_network_cut_out_and_every_choice_learns(name):
    torch.manual_seed(0)
    network = SMALL[name]()
    space = assert_parity(network, IMAGE)
    assert_gradients(network, space, IMAGE)


@pytest.mark.parametrize(
    ("name", "widths"),
    {
        "addition": {"a": {"a", "b"}},
        "named_addition": {"a": {"a", "b"}},
        "squeeze_excitation": {"a": {"a", "up"}, "down": {"down"}},
        "concatenation": {"a": {"a"}, "b": {"b"}, "c": {"c"}},
        "grouped_concatenation": {"a": {"a", "d", "g"}, "b": {"b", "d", "g"}},
        "depthwise": {"0": {"0", "2"}, "5": {"5"}},
        "depthwise_twofold": {"0": {"0", "1"}, "3": {"3"}},
        "grouped": {"0": {"0", "2"}, "4": {"4"}},
        "grouped_on_image": {"2": {"2"}},
        "layer_scale": {"a": {"a", "b"}},
        "scale_used_twice": {"a": {"a", "b"}},
        "scales_in_a_list": {"a": {"a"}, "b": {"b"}},
        "flattened": {"0": {"0"}, "4": {"4"}, "8": {"8"}},
        "channels_last": {"stem": {"stem", "deep", "down"}, "up": {"up"}},
        "other_norms": {"0": {"0"}, "3": {"3"}, "6": {"6"}},
        "read_twice": {"a": {"a"}},
        "shuffled": {"a": {"a", "b", "c"}},
        "sizes_from_shapes": {"a": {"a"}},
        "derived_class": {"0": {"0"}, "1": {"1"}},
        "expanded_gate": {"a": {"a", "b"}},
        "bounded": {"a": {"a", "b", "c"}},
    }.items(),
)
def test_layers_whose_outputs_meet_share_a_width(name, widths):
    plan = read(SMALL[name]())
    assert {width: writers(plan, width) for width in plan.widths} == widths


def test_a_layer_after_a_concatenation_reads_its_parts_in_their_order():
    plan = read(SMALL["concatenation"]())
    assert reads(plan, "c") == [("a", 1), (3, 1), ("b", 1)]
    (norm,) = plan.channelwise
    assert (norm.name, [segment.source for segment in norm.segments]) == ("bn", ["a", 3, "b"])


def test_a_layer_after_a_flatten_reads_each_channel_at_every_position():
    plan = read(SMALL["flattened"]())
    assert reads(plan, "4") == [("0", 4)]
    assert reads(plan, "8") == [("4", 1)]


def test_a_depthwise_convolution_has_as_many_features_of_each_channel_as_it_had():
    plan = read(SMALL["depthwise_twofold"]())
    assert [layer.writes for layer in plan.layers if layer.name == "1"] == [Segment("0", 2)]
    assert reads(plan, "3") == [("0", 2)]


def test_a_grouped_convolution_loses_whole_groups():
    plan = read(SMALL["grouped"]())
    assert plan.units == {"0": 4}  # three groups of four
    assert search_space(SMALL["grouped"](), torch.empty(1, *IMAGE)).widths["0"] == (4, 8, 12)
    both = read(SMALL["grouped_concatenation"]())
    assert both.units == {"a": 2, "b": 2}  # six groups of two
    assert reads(both, "fc") == [("a", 2), ("b", 2)]


def test_a_group_norm_keeps_its_groups_equal_and_its_channels_in_their_places():
    plan = read(SMALL["other_norms"]())
    assert plan.units == {"3": 4}
    assert plan.unordered == {"3"}  # with one group, as the norm of the last layer has, places do not matter


def test_halves_after_a_shuffle_cannot_be_sorted():
    plan = read(SMALL["shuffled"]())
    assert plan.unordered == {"a"}
    assert reads(plan, "c") == [("a", 1)]
    assert reads(plan, "fc") == [("a", 2)]


@pytest.mark.parametrize(
    ("name", "norms"),
    [
        ("addition", {"a": "bn1", "b": "bn2"}),
        ("depthwise", {"0": "1"}),  # not that of the depthwise convolution, which has no width of its own
        ("flattened", {"4": "5"}),
        ("read_twice", {}),
        ("concatenation", {}),
        ("grouped_on_image", {}),
        ("norms_without_weights", {}),
    ],
)
def test_a_batch_norm_that_alone_reads_a_layer_is_that_layer_s(name, norms):
    assert {layer.name: layer.norm for layer in read(SMALL[name]()).layers if layer.norm} == norms


@pytest.mark.parametrize("name", SMALL)
def test_the_logits_and_the_image_s_channels_are_never_touched(name):
    network = SMALL[name]()
    plan = read(network)
    last = plan.layers[-1]
    assert last.writes == Segment(5) and plan.logits == 5
    assert plan.left_alone[last.name] == "it is the network's output"
    space = search_space(network, torch.empty(1, *IMAGE))
    assert space.full.in_channels == 3 and last.name not in space.widths


def left_alone(path, **layers) -> dict[str, str]:
    """What is left alone of a network with two convolutions and something done between them."""
    network = Made(path, a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5), **layers)
    assert_parity(network, IMAGE, count=2)
    return {name: why for name, why in read(network).left_alone.items() if name != "fc"}


def test_a_size_written_in_the_code_leaves_the_layer_before_it_alone():
    why = left_alone(lambda net, x: net.fc(pooled(net.b(net.a(x).view(-1, 8, 4, 16)))))
    assert why == {"a": "view gives it a size written in the code, 8"}


def test_an_operation_without_a_rule_leaves_the_layer_before_it_alone():
    assert left_alone(lambda net, x: net.fc(pooled(net.b(net.a(x).roll(1, 1))))) == {
        "a": "roll reads it, for which TAS has no rule"
    }
    assert left_alone(lambda net, x: net.fc(pooled(net.b(net.own(net.a(x))))), own=nn.LocalResponseNorm(2)) == {
        "a": "own reads it, and TAS cannot make a LocalResponseNorm smaller"
    }


@pytest.mark.parametrize(
    ("between", "operation"),
    [
        (lambda x: x.flip(1), "flip"),
        (lambda x: x.mT.transpose(2, 3), "getattr"),
        (lambda x: x // 2 * 2, "floordiv"),
        (lambda x: x.unflatten(1, (2, 4)).flatten(1, 2), "unflatten"),
        (lambda x: x.repeat_interleave(2, 1)[:, ::2], "repeat_interleave"),
        (lambda x: x.cumsum(1), "cumsum"),
    ],
)
def test_what_is_left_alone_says_why_and_keeps_its_channels(between, operation):
    (why,) = left_alone(lambda net, x: net.fc(pooled(net.b(between(net.a(x)))))).values()
    assert why.split("_1")[0].startswith(operation)


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x[:, :4].repeat(1, 2, 1, 1),
        lambda x: torch.cat(x.split(4, 1), 1),
        lambda x: F.pad(x, (0, 0, 0, 0, 4, 4))[:, 4:12],
        lambda x: x + torch.ones(8, 1, 1, device=x.device, dtype=x.dtype),
        lambda x: x.transpose(1, 2) + x.transpose(1, 3),
    ],
)
def test_parts_and_tensors_of_fixed_size_leave_the_layer_before_them_alone(between):
    assert set(left_alone(lambda net, x: net.fc(pooled(net.b(between(net.a(x))))))) == {"a"}


def test_sums_of_channels_of_another_make_up_leave_both_alone():
    def path(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return net.fc(pooled(net.b(net.a(x) + torch.cat([net.c(x), net.d(x)], 1))))

    why = "add joins it with channels of another make-up"
    assert left_alone(path, c=conv(3, 5), d=conv(3, 3)) == {"a": why, "c": why, "d": why}


def test_a_layer_with_parameters_of_a_kind_unknown_is_left_alone_with_what_it_reads():
    class Gained(nn.Conv2d):
        def __init__(self):
            super().__init__(8, 8, 1)
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.gain * super().forward(x)

    for own in (Gained(), nn.utils.parametrizations.weight_norm(conv(8, 8))):
        why = "own has other parameters than a weight and a bias"
        assert left_alone(lambda net, x: net.fc(pooled(net.b(net.own(net.a(x))))), own=own) == {"a": why, "own": why}


def test_reading_leaves_the_network_as_it_was():
    network = chain(conv(3, 8), nn.BatchNorm2d(8)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    read(network)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_bug_in_a_rule_is_seen_and_arguments_that_it_does_not_take_leave_the_layer_alone(monkeypatch):
    network = Made(
        lambda net, x: net.fc(pooled(net.b(torch.flatten(net.a(x), 2).unflatten(2, (8, 8))))),
        **{"a": conv(3, 8), "b": conv(8, 8), "fc": nn.Linear(8, 5)},
    )

    def broken(read, node, input, start_dim=0):
        raise KeyError("a bug")

    def of_other_arguments(read, node):
        raise AssertionError("it is not asked")

    monkeypatch.setitem(RULES, "flatten", broken)
    with pytest.raises(KeyError, match="a bug"):
        read(network)
    monkeypatch.setitem(RULES, "flatten", of_other_arguments)
    assert "flatten reads it" in read(network).left_alone["a"]


def test_a_layer_says_how_its_convolution_is_applied():
    network = Made(
        lambda net, x: net.fc(pooled(net.b(net.a(x)))),
        **{"a": nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2)), "fc": nn.Linear(8, 5)},
        b=nn.Conv2d(8, 8, 3, groups=8, bias=False, padding=1),
    )
    a, b, fc = read(network).layers
    assert (a.kernel, a.stride, a.groups, a.resolution, a.bias) == ((3, 5), (2, 1), 1, (4, 8), True)
    assert (b.kernel, b.stride, b.groups, b.resolution, b.bias) == ((3, 3), (1, 1), 8, (4, 8), False)
    assert (fc.kernel, fc.stride, fc.groups, fc.resolution, fc.bias) == ((1, 1), (1, 1), 1, (), True)
