"""The options of `tas prune`."""

from dataclasses import dataclass
from typing import Literal, get_args

from tas.config.checks import above, at_least, check_start, inside
from tas.config.common import CommonOptions
from tas.errors import TasError

Method = Literal[
    "uniform",
    "random",
    "l1",
    "fpgm",
    "taylor",
    "slimming",
    "sss",
    "thinet",
    "reconstruction",
    "autopruner",
    "unstructured",
]

METHODS: tuple[str, ...] = get_args(Method)
"""Names of the methods."""


@dataclass(frozen=True, kw_only=True)
class PruneOptions(CommonOptions):
    """Find a smaller network by another method: uniform widths, random search, importance."""

    method: Method = "uniform"
    """How the structure is chosen: uniform, random, l1, fpgm, taylor, slimming, sss, thinet, reconstruction, autopruner
    or unstructured. All but uniform and random need trained weights."""
    network: str = "resnet20"
    """The network to make smaller, as for `tas search`."""
    pretrained: bool = False
    """Start from the trained weights of the library that --network names."""
    weights: str | None = None
    """Start from the trained weights in this file (a state dict) or finished training run."""
    data: str = "digits"
    """The data set: digits, cifar10, cifar100, folder or imagenet."""
    data_dir: str = "data"
    """Directory of the data set; the CIFARs are downloaded into it when absent."""
    epochs: int = 10
    """Passes over the training images, where the method trains: slimming, sss and autopruner once, random every
    candidate, over a half of them."""
    flops_target: float = 0.5
    """FLOPs to keep, as a share of the unpruned network's; above 0, at most 1."""
    tolerance: float = 0.02
    """How far the found network may be from the target, as a share of the target."""
    blocks: int | None = None
    """With --method uniform: blocks that every stage keeps, or all of them where it has no more; all unless given."""
    candidates: int = 10
    """With --method random: networks that are drawn, trained and ranked."""
    sparsity_weight: float | None = None
    """With --method slimming: weight of the L1 penalty on the scales of the batch norms; with --method sss on the
    factors of the blocks. None takes the one that shrinks a factor by 1, its starting value, over the training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        inside("method", self.method, self.method in METHODS, ", ".join(METHODS))
        inside("flops_target", self.flops_target, 0 < self.flops_target <= 1, "above 0, at most 1")
        inside("tolerance", self.tolerance, 0.001 <= self.tolerance < 1, "from 0.001 to below 1")
        check_start(self.pretrained, self.weights, None)
        at_least(1, candidates=self.candidates)
        if self.blocks is not None:
            at_least(1, blocks=self.blocks)
            if self.method != "uniform":
                raise TasError(f"--blocks goes with --method uniform, not with {self.method}")
        if self.sparsity_weight is not None:
            above(0, sparsity_weight=self.sparsity_weight)
