"""The options of `tas prune`."""

from dataclasses import dataclass

from tas.config.checks import inside
from tas.config.common import CommonOptions


@dataclass(frozen=True, kw_only=True)
class PruneOptions(CommonOptions):
    """Find a smaller network by another method: uniform widths, random search, importance."""

    method: str = "uniform"
    """How the structure is chosen."""
    network: str = "resnet20"
    """The network to make smaller, as for `tas search`."""
    pretrained: bool = False
    """Start from the trained weights of the library that --network names."""
    weights: str | None = None
    """Trained weights of the network: a state dict, or a finished training run."""
    data: str = "digits"
    """The data set: digits, cifar10, cifar100, folder or imagenet."""
    data_dir: str = "data"
    """Directory of the data set; the CIFARs are downloaded into it when absent."""
    epochs: int = 10
    """Passes over the training images, where the method trains."""
    flops_target: float = 0.5
    """FLOPs to keep, as a share of the unpruned network's; above 0, at most 1."""
    tolerance: float = 0.02
    """How far the found network may be from the target, as a share of the target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        inside("flops_target", self.flops_target, 0 < self.flops_target <= 1, "above 0, at most 1")
        inside("tolerance", self.tolerance, 0.001 <= self.tolerance < 1, "from 0.001 to below 1")
