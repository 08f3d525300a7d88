"""Where the norms of the candidates have their numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tas.supernet.choice import Choice
from tas.supernet.norms import CandidateNorm, prepare


@pytest.mark.parametrize("drawn", [[0], [1], [2], [0, 1], [0, 2], [1, 2]])
def test_scales_and_shifts_start_where_a_gpu_reads_vectors(drawn, monkeypatch):
    addresses = []
    batch_norm = F.batch_norm

    def spy(x, mean, variance, scale, shift, *others):
        addresses.extend([mean, variance, scale, shift])
        return batch_norm(x, mean, variance, scale, shift, *others)

    monkeypatch.setattr(F, "batch_norm", spy)
    choices = [Choice((3, 5, 7), "pad") for _ in range(3)]
    norms = [CandidateNorm.on(nn.BatchNorm2d(7), choice) for choice in choices]
    for choice in choices:
        choice.draw(drawn, torch.full((len(drawn),), 1 / len(drawn)))
    prepare(norms)
    for norm, choice in zip(norms, choices):
        norm(torch.randn(2, choice.computed(), 4, 4))
    assert len(addresses) == 12 and all(tensor.data_ptr() % 16 == 0 for tensor in addresses)
