"""How small a file of weights could be: shared values and a code for them, as in Deep Compression (Han et al., 2016).

The size after Huffman coding is estimated by the entropy of the shared values: no code that writes weight by weight is
shorter, Huffman's is longer by less than a bit a weight, and nothing has to be coded for it to be known.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import nn

CLUSTERS = 32
"""Values that the weights of a layer share: 5 bits."""

SAMPLE = 10_000
"""Weights of a layer by which its shared values are found; the others take the nearest."""


@dataclass(frozen=True)
class CodedSize:
    """What is left of the weights of a network; an estimate, and of the size alone: accuracy may fall."""

    bytes: int
    """At least so many: the codes, the shared values, and all other parameters and buffers as they are."""
    bits_per_weight: float
    """Of the weights of convolutions and linear layers, on average."""
    clusters: int
    """Values that the weights of a layer share, at most."""


def coded_size(network: nn.Module) -> CodedSize:
    """The size of a network whose convolutions and linear layers share values, in an ideal code.

    Each layer has at most `CLUSTERS` values, found by k-means. Weights that are zero keep a value of their own, as
    pruning leaves them. Single precision.
    """
    shared = {
        f"{name}.weight".lstrip(".")
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
    }
    bits, weights, others = 0.0, 0, 0
    for name, tensor in network.state_dict().items():
        if name not in shared:
            others += tensor.numel() * tensor.element_size()
            continue
        values = tensor.detach().cpu().double().numpy().ravel()
        counts = shared_counts(values)
        bits += float(entropy(counts, base=2)) * values.size
        weights += values.size
        others += 4 * len(counts)
    return CodedSize(round(bits / 8) + others, bits / weights if weights else 0.0, CLUSTERS)


def shared_counts(values: np.ndarray) -> np.ndarray:
    """How many of a layer's weights take each of its shared values; values that no weight takes are left out.

    Args:
        values: The weights, (N,).
    """
    zeros, others = int((values == 0).sum()), values[values != 0]
    sample = others
    if others.size > SAMPLE:
        sample = np.random.default_rng(0).choice(others, SAMPLE, replace=False)
    counts = np.array([zeros] if zeros else [], dtype=np.int64)
    if others.size:
        free = CLUSTERS - bool(zeros)
        distinct = np.unique(sample)
        if len(distinct) <= free and len(sample) == len(others):
            centres = distinct
        else:
            # Evenly spaced at the start: of the paper's three ways the one that keeps large weights.
            start = np.linspace(sample.min(), sample.max(), min(free, len(distinct)))[:, None]
            with warnings.catch_warnings():
                # Fewer distinct weights than values: some values are taken twice, which the entropy does not mind.
                warnings.simplefilter("ignore", ConvergenceWarning)
                fitted = KMeans(len(start), init=start, n_init=1, max_iter=50).fit(sample[:, None])
            centres = np.unique(fitted.cluster_centers_)
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, others)
        counts = np.concatenate([counts, np.bincount(nearest, minlength=len(centres))])
    return counts[counts > 0]


def saved_size(network: nn.Module) -> int:
    """The bytes of a network's weights, and buffers, as `torch.save` writes them."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.getbuffer().nbytes
