"""Forward passes in which norms take the statistics of the batch, and keep nothing of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation, but batch norms normalise with the batch's own statistics.

    Running statistics are a mean over the networks that a supernet has been; those of a large batch are right for each
    of its networks without being measured anew.
    """
    training = {module: module.training for module in network.modules()}
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 0.0  # what is there stays
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()  # it counts this one
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept):
            norm.momentum, norm.num_batches_tracked = momentum, count
        for module, mode in training.items():
            module.training = mode
