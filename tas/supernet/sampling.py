"""Gumbel-softmax over candidates, and the sampling of a few of them (the paper's eq. 3 and 4)."""

import torch
from torch import Tensor


def gumbel_weights(logits: Tensor, tau: float, generator: torch.Generator) -> Tensor:
    """softmax((log p + o) / tau) with p = softmax(logits) and Gumbel noise o (eq. 3).

    Args:
        logits: (..., candidates).
        tau: Temperature, above 0; toward 0 the result is one-hot at a sample of p.
        generator: Source of the noise, on the CPU, so that every device and process draws the same.

    Returns:
        Weights of the same shape that sum to 1 over the last axis, differentiable in the logits.
    """
    # -log(-log u) of a uniform u is -log of an exponential variable, which is never 0.
    noise = -torch.empty(logits.shape, dtype=logits.dtype).exponential_(generator=generator).log()
    return ((logits.log_softmax(-1) + noise.to(logits.device)) / tau).softmax(-1)


def sample_candidates(weights: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Indices of distinct candidates, drawn one after another with probabilities in proportion to their weights.

    Args:
        weights: (rows, candidates), as `gumbel_weights` gives them.
        samples: How many to draw for each row, at most the number of candidates.
        generator: Source of the draw, on the CPU.

    Returns:
        (rows, samples) int64 on the CPU, ascending.
    """
    # At a low temperature most weights underflow to 0, and fewer than `samples` would be left to draw from.
    probabilities = weights.detach().cpu().double().clamp_min(1e-30)
    return torch.multinomial(probabilities, samples, generator=generator).sort(-1).values
