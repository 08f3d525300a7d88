import copy

import pytest
import torch
from torch import Tensor, nn

from tas.cutting.build import build
from tas.distillation.loss import distillation_loss
from tas.distillation.teachers import Teacher, Teachers, fast_in_bfloat16, predicts_alike
from tests.spaces import unpruned


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build(unpruned("resnet20", num_classes=3, in_channels=1))


def test_a_teacher_gives_what_its_network_does_without_gradients() -> None:
    alone = network(1).eval()
    teacher = Teacher(copy.deepcopy(alone))
    images = torch.randn(6, 1, 8, 8)
    logits = teacher(images)
    torch.testing.assert_close(logits, alone(images))
    assert not logits.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any(module.training for module in teacher.train().modules())


def test_a_teacher_in_bfloat16_answers_in_single_precision() -> None:
    images = torch.randn(6, 1, 8, 8)
    exact, low = Teacher(network(1))(images), Teacher(network(1), torch.bfloat16)(images)
    assert low.dtype == torch.float32
    assert not torch.equal(low, exact)
    torch.testing.assert_close(low, exact, rtol=0.05, atol=0.05)


class Near(nn.Module):
    """Two logits that differ by a part in a thousand, which bfloat16 does not resolve, or by a part in ten."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 2, bias=False)
        nn.init.constant_(self.linear.weight, 1.0)
        with torch.no_grad():
            self.linear.weight[1] += share

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.mean((1, 2, 3))[:, None])
        return logits


@pytest.mark.parametrize(("share", "alike"), [(1e-3, False), (0.1, True)])
def test_predictions_are_compared_in_both_types_of_number(share: float, alike: bool) -> None:
    assert predicts_alike(Near(share), torch.ones(3, 1, 8, 8), torch.bfloat16) is alike


def test_on_a_cpu_the_teacher_keeps_its_type_of_number() -> None:
    assert not fast_in_bfloat16(torch.device("cpu"))


def test_one_teacher_among_teachers_is_itself() -> None:
    teacher, images = Teacher(network(1)), torch.randn(6, 1, 8, 8)
    assert torch.equal(Teachers([teacher])(images), teacher(images))


def test_several_teachers_say_the_mean_of_their_logits_in_evaluation_and_without_gradients() -> None:
    alone = [network(seed).eval() for seed in (1, 2, 3)]
    teachers = Teachers([Teacher(copy.deepcopy(each)) for each in alone])
    images = torch.randn(6, 1, 8, 8)
    logits = teachers.train()(images)
    torch.testing.assert_close(logits, sum(each(images) for each in alone) / 3)
    assert not logits.requires_grad
    assert not any(module.training for module in teachers.modules())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_mean_of_logits_is_the_geometric_mean_of_the_softened_distributions(temperature: float) -> None:
    members = [Teacher(network(seed)) for seed in (1, 2)]
    images = torch.randn(6, 1, 8, 8)
    softened = [(member(images) / temperature).softmax(1) for member in members]
    geometric = (softened[0] * softened[1]).sqrt()
    average = (Teachers(members)(images) / temperature).softmax(1)
    torch.testing.assert_close(average, geometric / geometric.sum(1, keepdim=True))


def test_at_a_high_temperature_the_average_teaches_as_the_mean_of_the_single_losses_does() -> None:
    # Softmax is linear there, and so the two means that an ensemble can have are one.
    torch.manual_seed(0)
    student = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    logits, labels = torch.randn(2, 8, 5, dtype=torch.float64), torch.zeros(8, dtype=torch.int64)
    together = distillation_loss(student, logits.mean(0), labels, 1.0, 1e4)
    apart = sum(distillation_loss(student, each, labels, 1.0, 1e4) for each in logits) / 2
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (together, apart)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)
