"""The distillation loss against arithmetic done by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from tas.distillation.loss import distillation_loss


def batch(classes=5, images=8):
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, images, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (images,), generator=generator)
    return student.requires_grad_(), teacher, labels


def softmax(logits, temperature=1.0):
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize(("alpha", "temperature"), [(0.9, 4.0), (0.5, 4.0), (0.9, 1.0), (0.3, 0.7)])
def test_the_loss_is_cross_entropy_and_scaled_divergence_summed_by_hand(alpha, temperature):
    student, teacher, labels = [[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], [[0.0, 4.0, 1.0], [-2.0, 1.0, 2.5]], [1, 0]
    total = 0.0
    for z, z_teacher, label in zip(student, teacher, labels):
        p, q = softmax(z_teacher, temperature), softmax(z, temperature)
        divergence = sum(a * math.log(a / b) for a, b in zip(p, q))
        total += (1 - alpha) * -math.log(softmax(z)[label]) + alpha * temperature**2 * divergence
    loss = distillation_loss(
        torch.tensor(student), torch.tensor(teacher), torch.tensor(labels), alpha=alpha, temperature=temperature
    )
    assert loss.item() == pytest.approx(total / 2, rel=1e-5)


def test_without_alpha_it_is_cross_entropy():
    student, teacher, labels = batch()
    loss = distillation_loss(student, teacher, labels, alpha=0.0, temperature=4.0)
    torch.testing.assert_close(loss, F.cross_entropy(student, labels))


def test_with_alpha_one_the_labels_do_not_matter():
    student, teacher, labels = batch()
    first = distillation_loss(student, teacher, labels, alpha=1.0, temperature=4.0)
    second = distillation_loss(student, teacher, (labels + 1) % 5, alpha=1.0, temperature=4.0)
    assert first.item() == second.item() > 0


def test_a_student_that_equals_its_teacher_has_no_soft_part():
    student, _, labels = batch()
    # A shift of all logits of an image leaves its distribution as it is.
    teacher = student.detach() + torch.arange(8.0, dtype=torch.float64)[:, None]
    loss = distillation_loss(student, teacher, labels, alpha=1.0, temperature=4.0)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, student)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_soft_part_s_gradient_is_t_times_the_difference_of_the_softened_outputs(temperature):
    # d KL / d z = (softmax(z/T) - softmax(z'/T)) / T; the factor T^2 leaves T of it.
    student, teacher, labels = batch()
    loss = distillation_loss(student, teacher, labels, alpha=1.0, temperature=temperature)
    (gradient,) = torch.autograd.grad(loss, student)
    softened = (student / temperature).softmax(1) - (teacher / temperature).softmax(1)
    torch.testing.assert_close(gradient, temperature * softened / len(labels))


def test_at_a_high_temperature_the_soft_gradient_no_longer_depends_on_it():
    # What the factor T^2 is for: the limit matches centred logits, (z - z') / classes.
    student, teacher, labels = batch()
    loss = distillation_loss(student, teacher, labels, alpha=1.0, temperature=1e5)
    (gradient,) = torch.autograd.grad(loss, student)
    difference = student.detach() - teacher
    limit = (difference - difference.mean(1, keepdim=True)) / (5 * len(labels))
    torch.testing.assert_close(gradient, limit, rtol=1e-3, atol=1e-6)


def test_far_apart_logits_give_a_finite_loss():
    student = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = distillation_loss(student, torch.tensor([[-1000.0, 1000.0]]), torch.tensor([0]), 0.9, 4.0)
    loss.backward()
    # The teacher is certain of class 1, which costs the student (1000 + 1000) / T.
    assert loss.item() == pytest.approx(0.9 * 16 * 2000 / 4)
    assert student.grad.isfinite().all()
