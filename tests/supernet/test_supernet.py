"""The supernet: at first the unpruned network, forced to an architecture the network of that architecture."""

import functools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tas
from tas.cost.count import parameters
from tas.cutting.build import build
from tas.supernet.norms import CandidateNorm
from tas.supernet.supernet import Supernet
from tests.spaces import paper_space, unpruned

BOTH = ["resnet20", "resnet164"]


def make(name, seed=0):
    torch.manual_seed(seed)
    full = unpruned(name, 10)
    network = build(full)
    space = paper_space(full, 8)
    return network, space.plan, space, Supernet(network, space)


def randomise_norms(network):
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            if isinstance(norm, CandidateNorm):
                nn.init.uniform_(norm.scales, 0.5, 1.5)
                nn.init.normal_(norm.shifts, std=0.1)
            else:
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, std=0.1)


@functools.cache
def double_supernet(name):
    """A supernet in double precision in which every candidate has scales and shifts of its own."""
    _, plan, space, supernet = make(name)
    randomise_norms(supernet)
    return plan, space, supernet.double()


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", BOTH)
def test_a_fresh_supernet_is_the_unpruned_network_to_the_last_bit(name, train):
    torch.manual_seed(0)
    full = unpruned(name, 10)
    network = build(full)
    randomise_norms(network)
    supernet = Supernet(network, paper_space(full, 9)).train(train)
    images = torch.randn(4, 3, 9, 9)
    expected = network.train(train)(images)
    assert torch.equal(supernet(images), expected)
    # Evaluation afterwards shows that the running statistics were updated alike.
    assert torch.equal(supernet.eval()(images), network.eval()(images))


@pytest.mark.parametrize("name", BOTH)
def test_the_network_that_it_is_made_of_stays_as_it_was(name):
    torch.manual_seed(0)
    full = unpruned(name, 10)
    network = build(full)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    kinds = {key: type(module) for key, module in network.named_modules()}
    supernet = Supernet(network, paper_space(full, 8))
    supernet.sample(5.0, 2, torch.Generator().manual_seed(0))
    supernet(torch.randn(2, 3, 8, 8)).sum().backward()
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(1.0)
    assert {key: type(module) for key, module in network.named_modules()} == kinds
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


# Forced to one architecture, the supernet must compute what the plain network of that architecture computes with the
# supernet's weights. One difference is there by design: where the two sides of a residual sum have different widths,
# the supernet pads the narrower with zeros, so that the sum keeps the wider side's channels, while the plain network
# has a 1x1 projection with batch norm to the branch's width. The two can agree only where the shortcut is not the wider
# side: residual widths must not shrink from block to block of a stage. There the projection becomes the padding when
# its kernel is [I; 0] and its norm is the identity, which with running statistics of 0 and 1 takes a scale of
# sqrt(1 + eps). In training mode a norm measures its statistics and cannot be the identity, so there residual widths
# are drawn equal and no such projection exists. Projections that the unpruned network has, too, are copied like any
# other convolution.


def searchable_layers(supernet):
    """The modules of a supernet by their names in the plain network; a searchable stage wraps its blocks."""
    return {re.sub(r"\.0\.blocks\.", ".", name): module for name, module in supernet.network.named_modules()}


def cut(supernet, plan, architecture):
    """The plain network of an architecture with the supernet's weights; new projections are made to pad."""
    derived = tas.cut(build(supernet.space.full).double(), plan, architecture, supernet.weights(architecture))
    with torch.no_grad():
        for name, module in derived.named_modules():
            if isinstance(module, nn.Conv2d) and name not in supernet.homes:
                module.weight.copy_(torch.eye(*module.weight.shape[:2])[:, :, None, None])
                norm = derived.get_submodule(name.replace("shortcut.0", "shortcut.1"))
                norm.weight.fill_(math.sqrt(1 + norm.eps))
    return derived


@st.composite
def architectures(draw, space, plan, equal):
    """Architectures whose residual widths are equal within a stage or, if not `equal`, do not shrink."""
    depths = {stage: draw(st.sampled_from(candidates[:2])) for stage, candidates in space.depths.items()}
    widths = {name: draw(st.sampled_from(candidates)) for name, candidates in space.widths.items() if "." not in name}
    basic = space.full.network == "resnet20"
    for stage in plan.stages:
        ends = plan.stages[stage].ends
        for block, end in enumerate(ends):
            # Basic blocks of the first stage add to the stem; the first blocks of other stages project.
            before = ends[block - 1] if block else ("conv1" if basic and stage == "stage1" else None)
            least = widths[before] if before else 0
            allowed = [c for c in space.widths[end] if c >= least]
            widths[end] = least if equal and before else draw(st.sampled_from(allowed))
    for name, candidates in space.widths.items():
        if name not in widths:
            widths[name] = draw(st.sampled_from(candidates)) if int(name.split(".")[1]) < 3 else candidates[-1]
    return space.choose({name: widths[name] for name in space.widths}, depths)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", BOTH)
def test_forced_to_an_architecture_it_is_the_plain_network_of_that_architecture(name, train):
    plan, space, supernet = double_supernet(name)

    @settings(max_examples=8, deadline=None)
    @given(architectures(space, plan, equal=train), st.integers(0, 2**32))
    def check(architecture, seed):
        derived = cut(supernet, plan, architecture).train(train)
        images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        supernet.train(train).force(architecture)
        torch.testing.assert_close(supernet(images), derived(images), rtol=0, atol=1e-10)
        # In training mode the statistics of the norms have changed; they must have changed alike.
        torch.testing.assert_close(supernet.eval()(images), derived.eval()(images), rtol=0, atol=1e-10)

    check()


def test_in_single_precision_a_forced_supernet_is_the_plain_network_to_rounding():
    _, plan, space, supernet = make("resnet20")
    smallest = space.smallest()
    derived = cut(supernet, plan, smallest).float().eval()
    supernet.eval().force(smallest)
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(supernet(images), derived(images), rtol=0, atol=1e-5)


def test_forcing_the_unpruned_network_after_a_draw_gives_it_back():
    network, _, space, supernet = make("resnet20")
    images = torch.randn(2, 3, 8, 8)
    supernet.eval().sample(1.0, 2, torch.Generator().manual_seed(0))
    assert not torch.equal(supernet(images), network.eval()(images))
    supernet.force(space.full)
    assert torch.equal(supernet(images), network(images))


@pytest.mark.parametrize("samples", [1, 2, 3, 8])
def test_a_draw_has_so_many_widths_of_each_convolution_and_all_depths_of_each_stage(samples):
    _, _, space, supernet = make("resnet20")
    supernet.sample(1.0, samples, torch.Generator().manual_seed(0))
    for name, choice in supernet.widths.items():
        assert choice.candidates == space.widths[name]
        assert choice.drawn() == sorted(set(choice.drawn()))
        assert len(choice.drawn()) == len(choice.weights) == samples
        assert choice.weights.sum().item() == pytest.approx(1, abs=1e-6)
    for name, choice in supernet.depths.items():
        assert tuple(choice.drawn()) == space.depths[name]
        assert choice.weights.sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("tau", [0.1, 10.0])
def test_depths_that_are_not_mixed_are_drawn_at_their_probabilities_whatever_tau_is(tau):
    _, _, _, supernet = make("resnet20")
    generator = torch.Generator().manual_seed(0)
    for choice in supernet.depths.values():
        choice.logits.data = torch.tensor([0.6, 0.1, 0.3]).log()
    drawn = []
    for _ in range(1000):
        supernet.sample(tau, 2, generator, mix_depths=False)
        drawn += [choice.drawn() for choice in supernet.depths.values()]
        assert all(choice.weights.tolist() == [1.0] for choice in supernet.depths.values())
    shares = [drawn.count([depth]) / len(drawn) for depth in (1, 2, 3)]
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.04)  # four standard errors of 3000 draws


def test_not_mixing_the_depths_changes_nothing_of_the_widths_that_are_drawn():
    _, _, _, supernet = make("resnet20")
    drawn = []
    for mix_depths in (True, False):
        supernet.sample(1.0, 2, torch.Generator().manual_seed(0), mix_depths)
        drawn.append([(choice.drawn(), choice.weights.tolist()) for choice in supernet.widths.values()])
    assert drawn[0] == drawn[1]


def test_more_samples_than_candidates_draw_all_there_are():
    torch.manual_seed(0)
    full = unpruned("resnet20", 10)
    network = build(full)
    space = paper_space(full, ratios=(0.5, 1.0))
    supernet = Supernet(network, space)
    supernet.sample(1.0, 5, torch.Generator().manual_seed(0))
    assert all(choice.drawn() == list(space.widths[name]) for name, choice in supernet.widths.items())


def test_draws_are_repeated_by_their_generator_and_differ_between_layers():
    _, _, _, supernet = make("resnet20")
    images = torch.randn(2, 3, 8, 8)
    drawn, outputs = [], []
    for seed in (0, 0, 1):
        supernet.eval().sample(1.0, 2, torch.Generator().manual_seed(seed))
        drawn.append({name: choice.drawn() for name, choice in supernet.widths.items()})
        outputs.append(supernet(images))
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert len({tuple(widths) for name, widths in drawn[0].items() if name.startswith("stage1")}) > 1


@pytest.mark.parametrize("name", BOTH)
def test_with_two_samples_the_logits_of_every_width_and_depth_get_a_gradient(name):
    _, _, _, supernet = make(name)
    supernet.sample(5.0, 2, torch.Generator().manual_seed(0))
    supernet(torch.randn(4, 3, 8, 8)).square().sum().backward()
    for choice in (*supernet.widths.values(), *supernet.depths.values()):
        assert choice.logits.grad.isfinite().all()
        assert choice.logits.grad.abs().sum() > 0
        # A softmax does not change when all its logits do.
        assert choice.logits.grad.sum().item() == pytest.approx(0, abs=1e-3 * float(choice.logits.grad.abs().sum()))


def test_with_one_sample_depths_get_a_gradient_and_widths_none():
    _, _, _, supernet = make("resnet20")
    supernet.sample(5.0, 1, torch.Generator().manual_seed(0))
    supernet(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(choice.logits.grad is None for choice in supernet.widths.values())
    assert all(choice.logits.grad.abs().sum() > 0 for choice in supernet.depths.values())


@pytest.mark.parametrize("tau", [0.01, 10.0])
def test_outputs_and_gradients_are_finite_at_extreme_temperatures_and_logits(tau):
    _, _, _, supernet = make("resnet20")
    with torch.no_grad():
        for logits in supernet.architecture_parameters():
            logits.copy_(torch.linspace(-50, 50, len(logits)))
    supernet.sample(tau, 2, torch.Generator().manual_seed(0))
    logits = supernet(torch.randn(4, 3, 8, 8))
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in supernet.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", BOTH)
def test_beside_the_network_s_there_are_only_the_logits_and_the_candidates_scales_and_shifts(name):
    network, plan, space, supernet = make(name)
    # A norm has a scale and a shift for each channel of each candidate, where the network has one for each channel.
    present = dict(network.named_modules())
    norms = sum(
        2 * sum(space.widths[layer.writes.source][:-1])
        for layer in plan.layers
        if layer.norm is not None and layer.name in present
    )
    logits = sum(len(candidates) for candidates in (*space.widths.values(), *space.depths.values()))
    assert parameters(supernet) == parameters(network) + norms + logits


def test_weights_and_logits_are_all_parameters_and_have_none_in_common():
    _, _, space, supernet = make("resnet20")
    logits, weights = supernet.architecture_parameters(), supernet.weight_parameters()
    assert len(logits) == len(space.widths) + len(space.depths)
    assert not {id(p) for p in logits} & {id(p) for p in weights}
    assert {id(p) for p in logits} | {id(p) for p in weights} == {id(p) for p in supernet.parameters()}


def test_probabilities_are_the_softmax_of_the_logits_and_nearly_even_at_first():
    _, _, space, supernet = make("resnet20")
    widths, depths = supernet.probabilities()
    assert list(widths) == list(space.widths)
    assert list(depths) == list(space.depths)
    for name, choice in {**supernet.widths, **supernet.depths}.items():
        p = {**widths, **depths}[name]
        torch.testing.assert_close(p, choice.logits.exp() / choice.logits.exp().sum())
        torch.testing.assert_close(p, torch.full_like(p, 1 / len(p)), rtol=0, atol=1e-2)
        assert p.requires_grad


def test_a_saved_state_gives_another_supernet_the_same_outputs_and_draws():
    _, _, _, supernet = make("resnet20", seed=0)
    _, _, _, other = make("resnet20", seed=1)
    randomise_norms(supernet)
    with torch.no_grad():
        for logits in supernet.architecture_parameters():
            nn.init.normal_(logits)
    other.load_state_dict(supernet.state_dict())
    images = torch.randn(2, 3, 8, 8)
    for net in (supernet, other):
        net.eval().sample(1.0, 2, torch.Generator().manual_seed(0))
    assert [c.drawn() for c in other.widths.values()] == [c.drawn() for c in supernet.widths.values()]
    assert torch.equal(other(images), supernet(images))


def test_a_layer_shares_its_choice_with_the_supernet():
    # Logits that a checkpoint or an optimiser changes in the layer are those that `sample` reads.
    _, _, _, supernet = make("resnet20")
    layers = searchable_layers(supernet)
    for name, choice in supernet.widths.items():
        assert layers[name].tas_slice.choice is choice
    for name, choice in supernet.depths.items():
        assert supernet.network.get_submodule(f"{name}.0").tas_place[0].choice is choice


def test_the_maps_that_it_makes_at_once_are_those_that_each_norm_makes_itself():
    supernet = Supernet(build(unpruned("resnet20", 10)), paper_space(unpruned("resnet20", 10)))
    generator, images = torch.Generator().manual_seed(0), torch.randn(4, 3, 32, 32)
    supernet.sample(1.0, 2, generator)
    torch.testing.assert_close(supernet(images), supernet.network(images))
    supernet.sample(1.0, 2, generator)  # those of the draw before are not mistaken for its own
    torch.testing.assert_close(supernet.network(images), supernet(images))


def bytes_kept(module, images):
    """Of the feature maps that a forward pass keeps for the backward pass, every storage once."""
    kept = {}

    def pack(tensor):
        if tensor.dim() == 4 and len(tensor) == len(images):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(images)
    return sum(kept.values()), out


def test_it_keeps_no_more_of_its_feature_maps_than_the_unpruned_network():
    network = build(unpruned("resnet56", 10))
    supernet = Supernet(network, paper_space(unpruned("resnet56", 10)))
    images = torch.randn(5, 3, 32, 32)  # not as many as any layer has channels
    generator = torch.Generator().manual_seed(0)
    plain, _ = bytes_kept(network, images)
    for _ in range(3):
        supernet.sample(5.0, 2, generator)
        kept, _ = bytes_kept(supernet, images)
        assert kept < 1.15 * plain


def test_a_checkpoint_has_every_choice_once():
    _, _, space, supernet = make("resnet20")
    logits = [name for name in supernet.state_dict() if name.endswith("logits")]
    assert len(logits) == len(set(logits)) == len(space.widths) + len(space.depths)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU6, nn.Hardtanh, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.ReLU, nn.ELU, nn.LeakyReLU],
)
def test_no_activation_copies_its_input_and_those_in_place_stay_so_where_nothing_is_learned(activation):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), activation(inplace=True), nn.Conv2d(8, 4, 3))
    network.append(nn.Flatten())
    images = torch.randn(2, 3, 6, 6)
    supernet = Supernet(network, tas.search_space(network, images))
    with torch.profiler.profile() as profile:
        out = supernet(images)
    copied_in = [event.cpu_parent.name for event in profile.events() if event.cpu_parent and "clone" in event.name]
    assert not any(name.endswith("_") for name in copied_in)  # by which operations in place are known
    assert torch.equal(out, network(images))
    with torch.no_grad():
        supernet(images)
    assert supernet.network[2].inplace
