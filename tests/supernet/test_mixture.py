"""The maps of many norms, made at once."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tas.supernet.interpolation import interpolation_matrix
from tas.supernet.mixture import Candidates, mixtures


@st.composite
def candidates(draw):
    counts = tuple(sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=8))))
    indices = tuple(sorted(draw(st.sets(st.integers(0, len(counts) - 1), min_size=1))))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    width = counts[indices[-1]]
    columns = draw(st.integers(width, counts[-1]))
    numbers = [torch.randn(n, generator=random, dtype=torch.float64) for n in (len(indices), sum(counts), sum(counts))]
    return Candidates(counts, indices, columns, *numbers)


@settings(max_examples=60, deadline=None)
@given(st.lists(candidates(), max_size=5))
def test_the_maps_are_sums_of_interpolation_matrices_times_scales_and_shifts(norms):
    made = mixtures(norms)
    assert len(made) == len(norms)
    for norm, (matrix, offset) in zip(norms, made):
        expected = torch.zeros(norm.width, norm.columns, dtype=torch.float64)
        shift = torch.zeros(norm.width, dtype=torch.float64)
        for index, weight in zip(norm.indices, norm.weights):
            count, start = norm.counts[index], sum(norm.counts[:index])
            cwi = interpolation_matrix(count, norm.width, torch.device("cpu"), torch.float64)
            expected[:, :count] += weight * cwi * norm.scales[start : start + count]
            shift += weight * cwi @ norm.shifts[start : start + count]
        torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(offset, shift, rtol=0, atol=1e-12)
