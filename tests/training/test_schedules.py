"""Schedules as functions of progress."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tas.training.schedules import cosine, linear

PROGRESS = st.floats(0, 1)


def test_linear_starts_and_ends_where_told_and_is_halfway_at_half():
    assert linear(10, 0.1, 0) == 10
    assert linear(10, 0.1, 1) == pytest.approx(0.1)
    assert linear(10, 0.1, 0.5) == pytest.approx((10 + 0.1) / 2)


@given(PROGRESS, PROGRESS)
def test_linear_changes_in_proportion_to_progress(first, second):
    assert linear(10, 0.1, first) - linear(10, 0.1, second) == pytest.approx((second - first) * 9.9)


def test_cosine_is_the_start_then_half_of_it_then_nothing():
    assert cosine(0.1, 0) == 0.1
    assert cosine(0.1, 1 / 3) == pytest.approx(0.1 * 0.75)
    assert cosine(0.1, 0.5) == pytest.approx(0.05)
    assert cosine(0.1, 1) == 0


@given(PROGRESS, PROGRESS)
def test_cosine_never_rises(first, second):
    assert cosine(0.1, max(first, second)) <= cosine(0.1, min(first, second))


@given(PROGRESS)
def test_cosine_is_symmetric_about_half(progress):
    assert cosine(1, progress) + cosine(1, 1 - progress) == pytest.approx(1)
    assert cosine(1, progress) == pytest.approx(math.cos(math.pi * progress / 2) ** 2)


def test_cosine_is_torch_s_cosine_annealing():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=300)
    for epoch in range(300):
        assert cosine(0.1, epoch / 300) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
