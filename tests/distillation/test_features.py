"""Attention transfer and hints against arithmetic done by hand, and where their gradients go."""

import math

import pytest
import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cost.count import flops, parameters
from tas.cutting.build import build
from tas.distillation.features import FeatureDistillation, Staged, attention_loss, attention_map, hint_loss, stage_ends
from tas.errors import TasError
from tas.reading.readers import read_plan
from tests.small_networks import indexed
from tests.spaces import unpruned

IMAGE = (1, 8, 8)
FULL = unpruned("resnet20", num_classes=3, in_channels=1)
ENDS = ("stage1.2", "stage2.2", "stage3.2")


def narrow(depths: dict[str, int] | None = None) -> Architecture:
    return FULL.with_counts({name: width // 2 for name, width in FULL.widths.items()}, depths or FULL.depths)


def made(architecture: Architecture, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(architecture).eval()


def staged(architecture: Architecture, seed: int = 0) -> Staged:
    plan = read_plan(build(unpruned(architecture.network, 3, 1)), IMAGE)
    return Staged(made(architecture, seed), stage_ends(plan, architecture.depths))


def features_of(network: nn.Module, ends: tuple[str, ...], images: Tensor) -> list[Tensor]:
    """The ends' outputs by running a CIFAR ResNet stage by stage."""
    x = torch.relu(network.bn1(network.conv1(images)))
    found = []
    for _, stage in network.stages():
        x = stage(x)
        found.append(x)
    return found


def terms(distillation: FeatureDistillation, images: Tensor) -> dict[str, Tensor]:
    student, *teachers = distillation.networks
    distillation.watch()
    student.network(images)
    with torch.no_grad():
        for teacher in teachers:
            teacher.network(images)
    return distillation()


def test_an_attention_map_is_the_normalised_sum_of_squares_over_channels() -> None:
    # Two channels, 1 x 3 places: 1 + 4, 0 + 4, 0 + 16 over their length.
    features = torch.tensor([[[[1.0, 0.0, 0.0]], [[-2.0, 2.0, 4.0]]]])
    expected = torch.tensor([[5.0, 4.0, 16.0]]) / math.sqrt(25 + 16 + 256)
    torch.testing.assert_close(attention_map(features), expected)


def test_the_attention_loss_of_hand_made_features() -> None:
    # Maps (1, 0) and (0, 1) of one image, equal maps of the other: (1 + 1 + 0 + 0) / 4 places, halved.
    student = torch.tensor([[[[3.0, 0.0]]], [[[1.0, 1.0]]]])
    teacher = torch.tensor([[[[0.0, 5.0]]], [[[2.0, 2.0]]]])
    assert attention_loss(student, teacher).item() == pytest.approx(0.25)


def test_attention_is_the_same_for_scaled_repeated_and_reordered_channels() -> None:
    features = torch.randn(4, 6, 5, 5, dtype=torch.float64)
    for teacher in (7 * features, -features, features.flip(1), features.repeat(1, 3, 1, 1)):
        assert attention_loss(features, teacher).item() == pytest.approx(0, abs=1e-12)
    assert attention_loss(features, features.flip(3)).item() > 1e-3


def test_features_that_are_all_zero_give_a_finite_gradient() -> None:
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    attention_loss(student, torch.randn(2, 5, 4, 4)).backward()
    assert torch.isfinite(student.grad).all()


def test_the_hint_loss_is_half_the_mean_square() -> None:
    assert hint_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 5.0]])).item() == pytest.approx((1 + 9) / 4)


@pytest.mark.parametrize("depths", [{"stage1": 3, "stage2": 1, "stage3": 2}, {"stage1": 1, "stage2": 2, "stage3": 3}])
def test_a_stage_ends_with_the_last_block_that_is_kept(depths: dict[str, int]) -> None:
    student = staged(narrow(depths))
    assert student.ends == tuple(f"{stage}.{depth - 1}" for stage, depth in depths.items())
    assert [shape[2:] for shape in student.shapes(IMAGE)] == [(8, 8), (4, 4), (2, 2)]


def test_the_stages_of_a_traced_network_end_where_its_blocks_do() -> None:
    network = indexed()
    plan = read_plan(network, (3, 8, 8))
    assert stage_ends(plan, plan.depths()) == ("blocks.2",)
    assert stage_ends(plan, dict.fromkeys(plan.depths(), 2)) == ("blocks.1",)


def test_the_terms_are_the_losses_of_the_stages_outputs() -> None:
    student, teacher = staged(narrow({"stage1": 2, "stage2": 1, "stage3": 3})), staged(FULL, seed=1)
    distillation = FeatureDistillation(student, [teacher], IMAGE, attention_transfer=1000.0, hints=0.5)
    images = torch.randn(4, *IMAGE)
    found = terms(distillation, images)
    own, other = (features_of(part.network, part.ends, images) for part in (student, teacher))
    attention = 1000 * sum(attention_loss(*pair) for pair in zip(own, other))
    hints = 0.5 * hint_loss(distillation.regressors[0](own[1]), other[1])
    torch.testing.assert_close(found, {"attention_transfer": attention, "hints": hints})


def test_with_several_teachers_each_term_is_the_mean_of_their_terms() -> None:
    student, teachers = staged(narrow()), [staged(FULL, 1), staged(unpruned("resnet32", 3, 1), 2)]
    both = FeatureDistillation(student, teachers, IMAGE, attention_transfer=10.0, hints=2.0)
    images = torch.randn(4, *IMAGE)
    expected = terms(both, images)
    both.unwatch()
    alone = []
    for index, teacher in enumerate(teachers):
        single = FeatureDistillation(student, [teacher], IMAGE, attention_transfer=10.0, hints=2.0)
        single.regressors[0].load_state_dict(both.regressors[index].state_dict())
        alone.append(terms(single, images))
        single.unwatch()
    assert len(both.regressors) == 2
    for name, term in expected.items():
        torch.testing.assert_close(term, (alone[0][name] + alone[1][name]) / 2)


def test_gradients_reach_student_and_regressor_and_not_the_teacher() -> None:
    student, teacher = staged(narrow()), staged(FULL, seed=1)
    distillation = FeatureDistillation(student, [teacher], IMAGE, attention_transfer=1.0, hints=1.0)
    for name, weight in (("attention_transfer", "stage3.2.conv2.weight"), ("hints", "stage2.2.conv2.weight")):
        student.network.zero_grad()
        terms(distillation, torch.randn(4, *IMAGE))[name].backward()
        distillation.unwatch()
        assert student.network.get_parameter(weight).grad.abs().sum() > 0
        assert student.network.fc.weight.grad is None
    assert distillation.regressors[0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.network.parameters())


@pytest.mark.parametrize(("attention", "hints"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_term_of_weight_zero_is_left_out(attention: float, hints: float) -> None:
    distillation = FeatureDistillation(
        staged(narrow()), [staged(FULL, 1)], IMAGE, attention_transfer=attention, hints=hints
    )
    assert set(terms(distillation, torch.randn(2, *IMAGE))) == {"attention_transfer" if attention else "hints"}
    assert len(list(distillation.parameters())) == (2 if hints else 0)


def test_the_student_is_left_as_it_was() -> None:
    student, names = staged(narrow()), set(made(narrow()).state_dict())
    before = flops(student.network, IMAGE), parameters(student.network)
    distillation = FeatureDistillation(student, [staged(FULL, 1)], IMAGE, attention_transfer=1.0, hints=1.0)
    terms(distillation, torch.randn(2, *IMAGE))
    distillation.unwatch()
    assert not any(module._forward_hooks for module in student.network.modules())
    assert set(student.network.state_dict()) == names
    assert (flops(student.network, IMAGE), parameters(student.network)) == before
    assert set(distillation.state_dict()) == {"regressors.0.weight", "regressors.0.bias"}


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (((), ()), "has no stages"),
        ((ENDS, ENDS[:2]), "end at 8x8, 4x4, 2x2, the teacher's at 8x8, 4x4; they must be as many"),
        ((ENDS[:2], ENDS[1:]), "end at 8x8, 4x4, the teacher's at 4x4, 2x2"),
        ((("fc",), ("fc",)), r"ends with fc gives \(1, 3\); it must give feature maps"),
    ],
)
def test_networks_whose_stages_do_not_fit_are_refused(ends: tuple[tuple[str, ...], ...], said: str) -> None:
    student, teacher = (Staged(made(FULL), part) for part in ends)
    with pytest.raises(TasError, match=said):
        FeatureDistillation(student, [teacher], IMAGE, attention_transfer=1.0, hints=0.0)
