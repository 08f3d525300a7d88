"""What commands say while they run, once where several processes run the same one."""

import sys
from collections.abc import Sequence

from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import nn

from tas.config.functions import is_own
from tas.cost.count import uncounted
from tas.errors import printable


@rank_zero_only
def say(text: str) -> None:
    """Print something at once, into a file too."""
    print(text, flush=True)


@rank_zero_only
def warn(command: str, text: str) -> None:
    """Say something that does not stop a command, but that its user should know."""
    print(f"tas {command}: warning: {text}", file=sys.stderr)


@rank_zero_only
def say_code(name: str, file: object) -> None:
    """Say so where a file, and not the command line, names a function that is imported and called."""
    if is_own(name):
        print(f"tas: runs {printable(name)}, as {file} says", file=sys.stderr)


def warn_uncounted(command: str, name: str, network: nn.Module, input_shape: Sequence[int]) -> None:
    """Warn if a network has multiply-adds that no budget holds; input_shape is (C, H, W) of one image."""
    missed = uncounted(network, input_shape)
    if missed > 0.001:
        warn(command, f"{missed:.1%} of the FLOPs of {name} are in no convolution or linear layer; none counts them")
