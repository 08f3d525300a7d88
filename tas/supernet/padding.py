"""Equation 4 with the candidates filled up with zeros instead of interpolated: every channel keeps its place.

Then sum_j w_j pad(BN_j(O[:, :C_j])) is a batch norm of O again, of which channel c has the scale sum_j w_j scale_j[c]
over the drawn candidates j that have it, and its shift likewise.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from tas.supernet.mixture import Candidates


@functools.lru_cache(maxsize=4096)
def places(candidates: tuple[int, ...], indices: tuple[int, ...]) -> Tensor:
    """For each channel of each drawn candidate: which of the drawn, the channel counted through all candidates, itself.

    Args:
        candidates: Numbers of channels, ascending.
        indices: Which of them are drawn, ascending.

    Returns:
        (3, channels of the drawn candidates) int64 on the CPU.
    """
    with torch.inference_mode(False):  # made under it, a cached tensor could not be used in training later
        parts = []
        for which, index in enumerate(indices):
            channel = torch.arange(candidates[index])
            parts.append(torch.stack([torch.full_like(channel, which), sum(candidates[:index]) + channel, channel]))
        return torch.cat(parts, 1)


def padded_mixtures(norms: Sequence[Candidates]) -> list[tuple[Tensor, Tensor]]:
    """Scale and shift of the mixture, (columns,) each and zero beyond the widest drawn, for each of several norms.

    Made together, since one by one they would be many small operations for each norm.
    """
    if not norms:
        return []
    each = [places(norm.counts, norm.indices) for norm in norms]
    columns = [norm.columns for norm in norms]
    lengths = torch.tensor([[len(norm.weights) for norm in norms], [len(norm.scales) for norm in norms], columns])
    starts = lengths.cumsum(1) - lengths
    index = torch.cat(each, 1) + starts.repeat_interleave(torch.tensor([place.shape[1] for place in each]), 1)
    scales, shifts = (torch.cat(parts) for parts in ([n.scales for n in norms], [n.shifts for n in norms]))
    which, channel, place = index.to(scales.device, non_blocking=True)
    weights = torch.cat([norm.weights for norm in norms])[which]
    affine = (scales.new_zeros(sum(columns)).index_add(0, place, weights * x[channel]) for x in (scales, shifts))
    return list(zip(*(torch.split(x, columns) for x in affine), strict=True))
