"""The searchable layers against the paper's equations, written out literally."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import update_bn

from tas.supernet.choice import Choice
from tas.supernet.features import Features, Part
from tas.supernet.layers import SearchableLayer, Slice
from tas.supernet.norms import CandidateNorm
from tas.supernet.stage import PaddedAdd, searchable_stage

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def cwi(x, channels):
    return F.adaptive_avg_pool3d(x, (channels, *x.shape[2:]))


def padded(x, channels):
    return torch.cat([x, x.new_zeros(len(x), channels - x.shape[1], *x.shape[2:])], 1)


ALIGNED = {"interpolate": cwi, "pad": padded}


class Searchable(nn.Module):
    """A searchable convolution and, if there is one, the norm after it."""

    def __init__(self, conv, norm, choice):
        super().__init__()
        self.conv, self.choice = conv, choice
        self.norm = None if norm is None else CandidateNorm.on(copy.deepcopy(norm), choice)
        part = Slice(first_of(conv.in_channels), choice, norm is None, self.norm)
        self.layer = SearchableLayer.on(copy.deepcopy(conv), part)
        self.layer.weight, self.layer.bias = conv.weight, conv.bias

    def forward(self, x):
        x = self.layer(x)
        return x if self.norm is None else self.norm(x)


def first_of(count):
    """So many features, of which the first may be there."""
    return Features([Part(count, 1, None)])


def make_layer(candidates, channels=5, kernel=3, stride=1, with_norm=True, bias=False, seed=0, align="interpolate"):
    """A searchable convolution in double precision whose candidates all have their own scales and shifts."""
    torch.manual_seed(seed)
    width = candidates[-1]
    conv = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=bias)
    choice = Choice(candidates, align)
    nn.init.normal_(choice.logits)
    layer = Searchable(conv, nn.BatchNorm2d(width) if with_norm else None, choice).double()
    if with_norm:
        nn.init.uniform_(layer.norm.scales, -1.5, 1.5)
        nn.init.normal_(layer.norm.shifts)
        nn.init.normal_(layer.norm.running_mean)
        nn.init.uniform_(layer.norm.running_var, 0.5, 2.0)
    return layer


def draw(layer, indices):
    """Draw these candidates, with the weights of eq. 4: differentiable in the logits, renormalised over the drawn."""
    weights = layer.choice.logits.softmax(0)[list(indices)]
    layer.choice.draw(indices, weights / weights.sum())


def literal_eq_4(layer, x):
    """sum_j w_j align(BN_j(O[:, :C_j]), max C), each BN_j a BatchNorm2d of its own; also those norms, by candidate."""
    conv, choice = layer.conv, layer.choice
    out = F.conv2d(x, conv.weight[:, : x.shape[1]], conv.bias, conv.stride, conv.padding)
    total, norms = 0, {}
    for index, weight in zip(choice.indices, choice.weights):
        channels = choice.candidates[index]
        normalised = out[:, :channels]
        if layer.norm is not None:
            norm = nn.BatchNorm2d(channels, layer.norm.eps, layer.norm.momentum).double().train(layer.training)
            with torch.no_grad():
                scale, shift = layer.norm.scale_and_shift(index)
                norm.weight.copy_(scale)
                norm.bias.copy_(shift)
                norm.running_mean.copy_(layer.norm.running_mean[:channels])
                norm.running_var.copy_(layer.norm.running_var[:channels])
            norms[index] = norm
            normalised = norm(normalised)
        total = total + weight * ALIGNED[choice.align](normalised, choice.drawn()[-1])
    return padded(total, choice.present()), norms


@st.composite
def layers_and_inputs(draw_, with_norm=None):
    candidates = tuple(sorted(draw_(st.sets(st.integers(1, 20), min_size=1, max_size=8))))
    channels = draw_(st.integers(1, 6))
    layer = make_layer(
        candidates,
        channels,
        kernel=draw_(st.sampled_from([1, 3])),
        stride=draw_(st.integers(1, 2)),
        with_norm=draw_(st.booleans()) if with_norm is None else with_norm,
        bias=draw_(st.booleans()),
        seed=draw_(st.integers(0, 2**32)),
        align=draw_(st.sampled_from(list(ALIGNED))),
    )
    layer.train(draw_(st.booleans()))
    indices = draw_(st.sets(st.integers(0, len(candidates) - 1), min_size=1))
    draw(layer, sorted(indices))
    # Fewer channels than the convolution has inputs: what it reads may have been narrowed.
    read = draw_(st.integers(1, channels))
    size = draw_(st.integers(2, 6)), draw_(st.integers(2, 6))
    return layer, torch.randn(draw_(st.integers(2, 3)), read, *size, dtype=torch.float64)


@settings(max_examples=100, deadline=None)
@given(layers_and_inputs())
def test_a_searchable_convolution_is_eq_4_in_its_output_and_in_every_gradient(layer_and_input):
    layer, x = layer_and_input
    choice = layer.choice
    x.requires_grad_()
    expected, norms = literal_eq_4(layer, x)  # first: it reads the running statistics that the layer then updates
    out = layer(x)
    torch.testing.assert_close(out, expected, **CLOSE)
    assert out.shape[1] == choice.drawn()[-1] or choice.align == "pad"

    shared = [x, layer.conv.weight]
    if layer.conv.bias is not None:
        shared.append(layer.conv.bias)
    if len(choice.indices) > 1:
        shared.append(choice.logits)
    upstream = torch.randn_like(out)
    affine = [parameter for norm in norms.values() for parameter in (norm.weight, norm.bias)]
    reference = torch.autograd.grad(expected, shared + affine, upstream, retain_graph=True)
    own = [] if layer.norm is None else [layer.norm.scales, layer.norm.shifts]
    gradients = torch.autograd.grad(out, shared + own, upstream)
    for gradient, wanted in zip(gradients[: len(shared)], reference):
        torch.testing.assert_close(gradient, wanted, **CLOSE)
    if layer.norm is not None:
        # What was not drawn gets nothing.
        rest = iter(reference[len(shared) :])
        parts = [
            (next(rest), next(rest)) if index in norms else (torch.zeros(count).double(), torch.zeros(count).double())
            for index, count in enumerate(choice.candidates)
        ]
        for gradient, wanted in zip(gradients[-2:], zip(*parts)):
            torch.testing.assert_close(gradient, torch.cat(wanted), **CLOSE)


@settings(max_examples=40, deadline=None)
@given(layers_and_inputs(with_norm=True))
def test_running_statistics_are_those_of_every_drawn_candidate_and_stay_beyond_what_is_computed(layer_and_input):
    layer, x = layer_and_input
    norm, width = layer.norm, layer.choice.computed()
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    _, norms = literal_eq_4(layer, x)
    layer(x)
    for index, reference in norms.items():
        channels = layer.choice.candidates[index]
        torch.testing.assert_close(norm.running_mean[:channels], reference.running_mean, **CLOSE)
        torch.testing.assert_close(norm.running_var[:channels], reference.running_var, **CLOSE)
    assert torch.equal(norm.running_mean[width:], mean[width:])
    assert torch.equal(norm.running_var[width:], variance[width:])
    # Not updated when evaluated, updated when trained.
    assert torch.equal(norm.running_mean, mean) is not layer.training
    assert norm.num_batches_tracked.item() == int(layer.training)


def test_all_eight_candidates_of_sixteen_channels_are_mixed_as_eq_4_says():
    layer = make_layer((4, 6, 8, 9, 11, 12, 14, 16))
    draw(layer, range(8))
    x = torch.randn(4, 5, 6, 6, dtype=torch.float64)
    expected, _ = literal_eq_4(layer, x)
    torch.testing.assert_close(layer(x), expected, **CLOSE)


def test_at_first_the_layer_is_the_convolution_and_the_norm_that_it_was_made_of():
    conv, norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var)
    layer = Searchable(conv, norm, Choice((4, 8)))
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(layer.eval()(x), norm.eval()(conv(x)))
    assert torch.equal(layer.train()(x), norm.train()(conv(x)))
    assert torch.equal(layer.norm.running_mean, norm.running_mean)
    assert torch.equal(layer.norm.running_var, norm.running_var)


def test_every_candidate_starts_from_the_norm_s_scales_and_shifts_and_has_its_own():
    norm = nn.BatchNorm2d(8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    layer = Searchable(nn.Conv2d(3, 8, 3), norm, Choice((2, 4, 8)))
    assert layer.norm.scales.shape == layer.norm.shifts.shape == (2 + 4 + 8,)
    for index, count in enumerate((2, 4, 8)):
        scale, shift = layer.norm.scale_and_shift(index)
        assert torch.equal(scale, norm.weight[:count])
        assert torch.equal(shift, norm.bias[:count])
    before = norm.weight.detach().clone()
    with torch.no_grad():
        layer.norm.scales.zero_()
    assert torch.equal(norm.weight, before)


def test_with_one_candidate_drawn_the_logits_get_no_gradient():
    layer = make_layer((4, 6, 8))
    draw(layer, [1])
    layer(torch.randn(2, 5, 4, 4, dtype=torch.float64)).square().sum().backward()
    assert layer.choice.logits.grad is None
    assert layer.conv.weight.grad is not None


def test_a_norm_without_momentum_keeps_the_cumulative_average():
    # As `update_bn` asks for, when the statistics of one network are measured anew.
    layer = make_layer((4, 8)).float()
    layer.choice.fix(4)
    batches = [torch.randn(6, 5, 4, 4) for _ in range(3)]
    update_bn(batches, layer)
    outputs = [layer.conv(batch)[:, :4].transpose(0, 1).flatten(1) for batch in batches]
    means = torch.stack([out.mean(1) for out in outputs]).mean(0)
    variances = torch.stack([out.var(1) for out in outputs]).mean(0)
    torch.testing.assert_close(layer.norm.running_mean[:4], means)
    torch.testing.assert_close(layer.norm.running_var[:4], variances)
    assert layer.norm.momentum == 0.1


def test_a_batch_that_has_no_variance_is_refused_as_by_batch_norm():
    layer = make_layer((4, 8))
    draw(layer, [0, 1])
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(torch.randn(1, 5, 1, 1, dtype=torch.float64))


@pytest.mark.parametrize(("branch", "shortcut"), [(3, 3), (3, 5), (5, 3)])
def test_a_padded_sum_adds_the_channels_that_both_have_and_keeps_the_others(branch, shortcut):
    a = torch.randn(2, branch, 4, 3, requires_grad=True)
    b = torch.randn(2, shortcut, 4, 3, requires_grad=True)
    out = PaddedAdd()(a, b)
    common = min(branch, shortcut)
    wider = a if branch > shortcut else b
    assert out.shape == (2, max(branch, shortcut), 4, 3)
    assert torch.equal(out[:, :common], a[:, :common] + b[:, :common])
    assert torch.equal(out[:, common:], wider[:, common:])
    out.sum().backward()
    assert torch.equal(a.grad, torch.ones_like(a))
    assert torch.equal(b.grad, torch.ones_like(b))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_searchable_stage_is_eq_5(data):
    # Blocks of different widths, as residual sums of different candidates have.
    widths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    torch.manual_seed(data.draw(st.integers(0, 2**32)))
    blocks = nn.Sequential(*(nn.Conv2d(i, o, 3, padding=1) for i, o in zip([4, *widths], widths))).double()
    candidates = tuple(sorted(data.draw(st.sets(st.integers(1, len(widths)), min_size=1))))
    choice = Choice(candidates, data.draw(st.sampled_from(list(ALIGNED)))).double()
    nn.init.normal_(choice.logits)
    stage = copy.deepcopy(blocks)
    searchable_stage(stage, choice)
    indices = sorted(data.draw(st.sets(st.integers(0, len(candidates) - 1), min_size=1)))
    weights = choice.logits.softmax(0)[indices]
    choice.draw(indices, weights / weights.sum())

    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    ends = [x]
    for block in blocks:
        ends.append(block(ends[-1]))
    ends = [ends[depth] for depth in choice.drawn()]
    width = max(end.shape[1] for end in ends)
    expected = sum(weight * ALIGNED[choice.align](end, width) for weight, end in zip(choice.weights, ends))

    out = stage(x)
    torch.testing.assert_close(out, expected, **CLOSE)
    inputs = [x, *([choice.logits] if len(indices) > 1 else [])]
    upstream = torch.randn_like(out)
    references = torch.autograd.grad(expected, [*inputs, blocks[0].weight], upstream, retain_graph=True)
    for gradient, reference in zip(torch.autograd.grad(out, [*inputs, stage[0].weight], upstream), references):
        torch.testing.assert_close(gradient, reference, **CLOSE)


def test_a_stage_runs_no_block_beyond_the_deepest_drawn():
    class Refuses(nn.Module):
        def forward(self, x):
            raise AssertionError("this block is not drawn")

    stage, choice = nn.Sequential(nn.Identity(), nn.ReLU(), Refuses()), Choice((1, 2, 3))
    searchable_stage(stage, choice)
    x = torch.randn(2, 3, 4, 4)
    choice.fix(2)
    assert torch.equal(stage(x), x.relu())
    choice.draw([0, 1], torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(stage(x), 0.25 * x + 0.75 * x.relu())
    choice.fix(3)
    with pytest.raises(AssertionError, match="not drawn"):
        stage(x)


@pytest.mark.parametrize("features", [1, 4, 6])
@pytest.mark.parametrize("bias", [True, False])
def test_a_sliced_linear_layer_reads_the_first_features(features, bias):
    linear = nn.Linear(6, 3, bias=bias)
    x = torch.randn(2, features)
    # As if the features that are missing were zero.
    expected = linear(F.pad(x, (0, 6 - features)))
    torch.testing.assert_close(SearchableLayer.on(linear, Slice(first_of(6), None, mixes=True))(x), expected)


def feature_maps_kept(module, x):
    """Of a forward pass, the distinct tensors of four dimensions that are kept for the backward pass; no kernels."""
    kept = {}

    def pack(tensor):
        if tensor.dim() == 4 and tensor.shape[0] == len(x):
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(x)
    return out, list(kept.values())


def test_of_a_mixture_the_convolution_s_output_alone_is_kept_for_the_backward_pass():
    layer = make_layer((4, 6, 8, 9))
    draw(layer, [1, 3])
    out = layer.layer(torch.randn(7, 5, 6, 6, dtype=torch.float64))
    _, kept = feature_maps_kept(layer.norm, out)
    assert len(kept) == 1
    assert kept[0].untyped_storage().data_ptr() == out.untyped_storage().data_ptr()


def test_of_a_stage_the_blocks_outputs_alone_are_kept_for_the_backward_pass():
    blocks = nn.Sequential(nn.Conv2d(4, 3, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 1))
    choice = Choice((1, 2, 3))
    choice.draw((0, 1, 2), choice.logits.softmax(0))
    x = torch.randn(7, 4, 5, 5)
    searchable_stage(blocks, choice)
    _, kept = feature_maps_kept(blocks, x)
    # The input of the first block, and the outputs of all three, two of which are inputs.
    assert sorted(tensor.shape[1] for tensor in kept) == [3, 4, 5, 6]


def test_channels_last_stays_channels_last():
    layer = make_layer((4, 6, 8, 9)).to(memory_format=torch.channels_last)
    draw(layer, [1, 3])
    x = torch.randn(7, 5, 6, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    out = layer(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(out, x, torch.randn_like(out))
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dims", [2, 4])
def test_the_mixture_passes_gradcheck(dims):
    norm = CandidateNorm.on(nn.BatchNorm2d(9), Choice((4, 6, 8, 9))).double()
    nn.init.uniform_(norm.scales, -1.5, 1.5)
    nn.init.normal_(norm.shifts)

    def mixed(x, logits, scales, shifts):
        norm.choice.draw((1, 3), logits.softmax(0))
        return torch.func.functional_call(norm, {"scales": scales, "shifts": shifts}, (x,))

    x = torch.randn(5, 9, *(3, 2)[: dims - 2], dtype=torch.float64, requires_grad=True)
    logits = torch.randn(2, dtype=torch.float64, requires_grad=True)
    for training in (True, False):
        norm.train(training)
        assert torch.autograd.gradcheck(mixed, (x, logits, norm.scales, norm.shifts))


def test_under_autocast_the_mixture_is_that_of_double_precision_as_far_as_bfloat16_goes():
    layer = make_layer((8, 12, 16))
    draw(layer, [0, 2])
    x = torch.randn(8, 5, 6, 6, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(8, 16, 6, 6, dtype=torch.float64)
    wanted = layer(x)
    reference = torch.autograd.grad(wanted, [x, layer.norm.scales, layer.choice.logits], upstream)
    layer = layer.float()
    draw(layer, [0, 2])
    single = x.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(single)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), wanted, rtol=0.05, atol=0.05)
    gradients = torch.autograd.grad(out, [single, layer.norm.scales, layer.choice.logits], upstream.to(out.dtype))
    for gradient, expected in zip(gradients, reference):
        scale = expected.abs().max().item()
        torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=0.03 * scale)
