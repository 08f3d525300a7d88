"""Training that keeps zeros: a network pruned weight by weight stays as sparse as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.utils import prune

from tas.errors import TasError


@contextmanager
def zeros_kept(network: nn.Module) -> Iterator[None]:
    """Inside, weights that are zero now stay zero, by masks of `torch.nn.utils.prune`; then they are plain again.

    Only weights of 2-d convolutions and linear layers, the ones that FLOPs are counted of; biases and the shifts of
    batch norm, which start at zero, are free.

    Raises:
        TasError: No weight is zero.
    """
    sparse = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    sparse = [module for module in sparse if not module.weight.all()]
    if not sparse:
        raise TasError("no weight of the network's convolutions and linear layers is zero at the start")
    for module in sparse:
        mask: Tensor = module.weight != 0
        prune.custom_from_mask(module, "weight", mask)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for module in sparse:
            prune.remove(module, "weight")  # type: ignore[no-untyped-call]
