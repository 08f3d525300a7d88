"""In which numbers a network computes that a function of one's own makes: TAS searches and trains in float32."""

import functools
import sys

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import nn

from tas.errors import TasError

STUBS = ("QuantStub", "DeQuantStub", "FloatFunctional")
"""Of torch's quantisation, what a network has that is not prepared for it yet: places that do nothing."""


def settle_numbers(network: nn.Module, name: str) -> None:
    """Bring a network to float32, in place, and say so where it was of another type.

    Raises:
        TasError: It has no numbers yet, or is prepared for quantisation.
    """
    for path, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_meta:
            raise TasError(f"{name} gives a network without numbers: {path} is on the device meta; initialise it")
    for path, module in network.named_modules():
        kind = type(module)
        if kind.__module__.startswith("torch.ao.") and kind.__name__ not in STUBS:
            raise TasError(
                f"{name} gives a network prepared for quantisation ({path} is a {kind.__name__}); "
                "give the one before, and prepare what is found"
            )
    kinds = {p.dtype for p in network.parameters() if p.is_floating_point()} - {torch.float32}
    if kinds:
        network.float()
        say_cast(name, ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds)))


@functools.cache
@rank_zero_only
def say_cast(name: str, kinds: str) -> None:
    """Say once that a network was cast."""
    print(f"tas: warning: {name} gives a network in {kinds}; it is cast to float32", file=sys.stderr)
