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
    kept = [(norm.momentum, {name: buffer.clone() for name, buffer in norm.named_buffers()}) for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, buffers) in zip(norms, kept):
            norm.momentum = momentum
            for name, buffer in norm.named_buffers():  # the count of batches, and after one that overflowed all others
                buffer.copy_(buffers[name])
        for module, mode in training.items():
            module.training = mode
