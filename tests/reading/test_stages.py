"""Which blocks can be left out, and that a network without them is the supernet that leaves them out."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.cutting.cut import cut
from tas.reading.plan import Plan
from tas.reading.readers import read_plan
from tas.space.of_network import search_space
from tests.parity import assert_gradients, assert_parity
from tests.small_networks import Made, chain, conv, pooled

IMAGE = (3, 8, 8)


class Residual(nn.Module):
    """x + BN(conv(x)), with a projection where the channels or the size change."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv, self.norm = conv(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.norm(self.conv(x)))


class Other(Residual):
    """The same, of another class."""


class Plain(nn.Sequential):
    """A convolution and its norm; nothing leads past them."""

    def __init__(self, channels: int, **options):
        super().__init__(conv(channels, channels, **options), nn.BatchNorm2d(channels), nn.ReLU())


class Separable(nn.Sequential):
    """A depthwise and a pointwise convolution, without a way past them."""

    def __init__(self, channels: int):
        super().__init__(
            conv(channels, channels, groups=channels), nn.BatchNorm2d(channels), conv(channels, channels, 1)
        )


class Overparametrised(nn.Module):
    """A block of RepVGG: two convolutions and an identity, each through a norm."""

    def __init__(self, channels: int):
        super().__init__()
        self.wide, self.norm_wide = conv(channels, channels), nn.BatchNorm2d(channels)
        self.narrow, self.norm_narrow = conv(channels, channels, 1), nn.BatchNorm2d(channels)
        self.identity = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm_wide(self.wide(x)) + self.norm_narrow(self.narrow(x)) + self.identity(x))


class Resized(nn.Module):
    """A convolution whose forward pass asks for the size of its input, which is no way past it."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv(channels, channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), size=x.shape[2:])


def stages_of(network: nn.Module) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name -> container and blocks, after a check that depths keep parity and learn."""
    torch.manual_seed(0)
    space = assert_parity(network, IMAGE)
    assert_gradients(network, space, IMAGE)
    return found(space.plan)


def found(plan: Plan) -> dict[str, tuple[str, tuple[str, ...]]]:
    assert all(not stage.ends for stage in plan.stages.values())
    return {name: (stage.container, stage.blocks) for name, stage in plan.stages.items()}


def in_list(*blocks: nn.Module) -> nn.Module:
    """Blocks in a list that the forward pass goes through by index."""

    def path(net: nn.Module, x: Tensor) -> Tensor:
        x = net.stem(x)
        for index in range(len(blocks)):
            x = net.blocks[index](x)
        return net.fc(pooled(x))

    return Made(path, stem=conv(3, 8), blocks=nn.ModuleList(blocks), fc=nn.Linear(8, 5))


def in_sequence(*blocks: nn.Module) -> nn.Module:
    return Made(
        lambda net, x: net.fc(pooled(net.blocks(net.stem(x)))),
        **{"stem": conv(3, 8), "blocks": nn.Sequential(*blocks), "fc": nn.Linear(8, 5)},
    )


@pytest.mark.parametrize("made", [in_sequence, in_list])
def test_residual_blocks_after_one_another_are_a_stage(made):
    network = made(Residual(8, 8), Residual(8, 8), Residual(8, 8))
    assert stages_of(network) == {"blocks": ("blocks", ("0", "1", "2"))}


@pytest.mark.parametrize("made", [in_sequence, in_list])
def test_the_first_block_may_change_channels_and_size_if_it_is_of_the_same_class(made):
    same = made(Residual(8, 8, 2), Residual(8, 8), Residual(8, 8))
    assert stages_of(same) == {"blocks": ("blocks", ("0", "1", "2"))}
    wider = made(Residual(8, 6), Residual(6, 6), Residual(6, 8))
    assert stages_of(wider) == {"blocks.0-1": ("blocks", ("0", "1"))}
    other = made(Other(8, 8, 2), Residual(8, 8), Residual(8, 8))
    assert stages_of(other) == {"blocks.1-2": ("blocks", ("1", "2"))}


def test_a_block_that_is_left_out_leaves_its_index_to_a_module_that_does_nothing():
    for made in (in_sequence, in_list):
        network = made(Residual(8, 8), Residual(8, 8), Residual(8, 8))
        space = search_space(network, torch.empty(1, *IMAGE))
        small = cut(network, space.plan, space.choose(space.full.widths, {"blocks": 2}))
        assert isinstance(small.blocks[2], nn.Identity)
        assert sum(isinstance(block, nn.Identity) for block in small.blocks) == 1
        assert all(isinstance(block, Residual) for block in small.blocks)  # as forward passes may ask
        images = torch.randn(2, *IMAGE)
        for again in (copy.deepcopy(small.blocks[2]), pickle.loads(pickle.dumps(small.blocks[2]))):
            assert isinstance(again, Residual) and str(again) == "LeftOut()"
            assert again(images) is images
        with pytest.raises(RuntimeError, match=r"Unexpected key.*blocks\.2"):
            small.load_state_dict({**small.state_dict(), "blocks.2.conv.weight": images})


def test_runs_in_a_flat_sequence_are_stages_and_what_follows_keeps_its_name():
    blocks = (Residual(8, 8), Residual(8, 8), Residual(8, 8, 2), Residual(8, 8), Residual(8, 8))
    network = chain(conv(3, 8), nn.BatchNorm2d(8), *blocks, conv(8, 8))
    assert stages_of(network) == {"2-3": ("", ("2", "3")), "4-6": ("", ("4", "5", "6"))}
    space = search_space(network, torch.empty(1, *IMAGE))
    small = cut(network, space.plan, space.choose(space.full.widths, {"2-3": 1, "4-6": 1}))
    kept = {name for name, _ in network.named_parameters() if name.split(".")[0] not in ("3", "5", "6")}
    assert {name for name, _ in small.named_parameters()} == kept


def test_stages_of_a_sequence_of_sequences_are_those_inside():
    network = in_sequence(
        nn.Sequential(Residual(8, 8), Residual(8, 8)), nn.Sequential(Residual(8, 8, 2), Residual(8, 8), Residual(8, 8))
    )
    assert stages_of(network) == {"blocks.0": ("blocks.0", ("0", "1")), "blocks.1": ("blocks.1", ("0", "1", "2"))}


def test_a_layer_stands_in_the_stage_and_block_of_its_name():
    network = in_sequence(*(Residual(8, 8) for _ in range(11)))
    places = {layer.name: (layer.stage, layer.block) for layer in read_plan(network, IMAGE).layers}
    assert places["stem"] == (None, 0) == places["fc"]
    assert all(places[f"blocks.{block}.conv"] == ("blocks", block) for block in range(11))


@pytest.mark.parametrize("block", [Plain, Separable, Resized])
def test_blocks_without_a_way_past_their_convolutions_are_no_stage(block):
    assert stages_of(in_sequence(block(8), block(8), block(8))) == {}


def test_an_identity_through_a_norm_is_a_way_past():
    network = in_sequence(Overparametrised(8), Overparametrised(8), Overparametrised(8))
    assert stages_of(network) == {"blocks": ("blocks", ("0", "1", "2"))}


def test_blocks_that_others_read_too_stay():
    def path(net: nn.Module, x: Tensor) -> Tensor:
        x = net.stem(x)
        outputs = []
        for block in net.blocks:
            x = block(x)
            outputs.append(x)
        return net.fc(pooled(torch.cat(outputs[1:], 1)))

    blocks = nn.ModuleList([Residual(8, 8), Residual(8, 8), Residual(8, 8)])
    network = Made(path, stem=conv(3, 8), blocks=blocks, fc=nn.Linear(16, 5))
    assert stages_of(network) == {"blocks.0-1": ("blocks", ("0", "1"))}


def test_something_between_two_blocks_parts_them():
    def path(net: nn.Module, x: Tensor) -> Tensor:
        x = net.stem(x)
        for index, block in enumerate(net.blocks):
            x = block(x) if index != 2 else block(F.avg_pool2d(x, 2))
        return net.fc(pooled(x))

    blocks = nn.ModuleList([Residual(8, 8) for _ in range(4)])
    network = Made(path, stem=conv(3, 8), blocks=blocks, fc=nn.Linear(8, 5))
    assert stages_of(network) == {"blocks.0-1": ("blocks", ("0", "1")), "blocks.2-3": ("blocks", ("2", "3"))}


def test_blocks_whose_channels_cannot_change_are_left_out_all_the_same():
    fixed = Made(
        lambda net, x: net.fc(pooled(net.blocks(net.stem(x).view(-1, 8, 8, 8)).roll(1, 1))),
        **{"stem": conv(3, 8), "blocks": nn.Sequential(Residual(8, 8), Residual(8, 8)), "fc": nn.Linear(8, 5)},
    )
    assert stages_of(fixed) == {"blocks": ("blocks", ("0", "1"))}
    assert read_plan(fixed, IMAGE).widths == {}


def test_a_stage_within_channels_in_the_last_dimension():
    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.down(F.gelu(self.up(self.norm(x))))

    network = Made(
        lambda net, x: net.fc(net.blocks(net.stem(x).permute(0, 2, 3, 1)).mean((1, 2))),
        **{"stem": conv(3, 8), "blocks": nn.Sequential(Mixer(), Mixer(), Mixer()), "fc": nn.Linear(8, 5)},
    )
    assert stages_of(network) == {"blocks": ("blocks", ("0", "1", "2"))}
