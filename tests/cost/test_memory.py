"""The most that is alive at once, of chains whose peak can be told by hand."""

import torch
from torch import Tensor, nn

from tas.cost.memory import peak_activations

MAP = 16 * 4
"""Bytes of a channel of 4x4."""


def test_a_chain_peaks_where_the_largest_neighbours_meet():
    chain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    # The caller's image, the convolution's output, and what the activation makes of it.
    assert peak_activations(chain, torch.randn(1, 3, 4, 4)) == (3 + 8 + 8) * MAP


def test_in_place_needs_no_second_map():
    chain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 1)).eval()
    assert peak_activations(chain, torch.randn(1, 3, 4, 4)) == (3 + 8 + 2) * MAP


def test_a_residual_is_alive_until_it_is_added():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(*(nn.Conv2d(5, 5, 1) for _ in range(3)))

        def forward(self, x: Tensor) -> Tensor:
            x = x * 2
            return x + self.inner(x)

    # Image, what is kept for the sum, and a convolution's input and output, from the second convolution on.
    assert peak_activations(Residual().eval(), torch.randn(1, 5, 4, 4)) == (5 + 5 + 5 + 5) * MAP


def test_views_and_weights_are_not_counted():
    chain = nn.Sequential(nn.Flatten(), nn.Linear(48, 7)).eval()
    assert peak_activations(chain, torch.randn(1, 3, 4, 4)) == 3 * MAP + 7 * 4
