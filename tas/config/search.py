"""The options of `tas search`."""

from dataclasses import dataclass
from typing import Literal

from tas.config.checks import above, at_least, check_start, inside
from tas.config.common import CommonOptions
from tas.errors import TasError

RANKED_BY = (
    *("network", "data", "image_size", "train_images", "seed", "flops_target", "tolerance"),
    *("search", "residuals", "ratios", "round_to", "exclude", "rank", "rank_epochs", "rank_lr"),
    *("batch_size", "momentum", "weight_decay", "precision"),
)
"""Options of a search that say which networks --rank draws and how each is trained alone."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions(CommonOptions):
    """Find a smaller network within a FLOPs budget."""

    network: str = "resnet20"
    """The network to make smaller: resnet20, resnet32, resnet44, resnet56, resnet110, resnet164, torchvision/NAME,
    timm/NAME, or package.module:factory, a function of one's own that makes a network."""
    pretrained: bool = False
    """Start from the trained weights of the library that --network names."""
    weights: str | None = None
    """Start from the trained weights in this file (a state dict) or finished training run."""
    init: Literal["scratch", "teacher"] | None = None
    """How the search starts: teacher, from the given trained weights with their channels sorted by importance; or
    scratch, and weights that are given are the teacher's of `tas train --kd` alone. None takes teacher where weights
    are given."""
    data: str = "digits"
    """The data set: digits, cifar10, cifar100, folder or imagenet."""
    data_dir: str = "data"
    """Directory of the data set; the CIFARs are downloaded into it when absent."""
    epochs: int = 40
    """Passes over the two halves of the training images."""
    flops_target: float = 0.5
    """FLOPs to keep, as a share of the unpruned network's; above 0, at most 1."""
    tolerance: float = 0.05
    """How far the found network may be from the target, as a share of the target."""
    search: Literal["width", "depth", "both"] = "both"
    """What is searched: width, depth or both."""
    residuals: Literal["tied", "free"] = "tied"
    """Convolutions of a CIFAR ResNet that a residual sum joins: tied, they share one width, and the shortcut stays the
    identity; or free, each has a width of its own, as in the paper, and a projection comes where they differ."""
    align: Literal["pad", "interpolate"] = "pad"
    """How candidates of different widths are mixed: pad, filled up with zeros, so that every channel keeps its place;
    or interpolate, their channels interpolated to the widest one's, as in the paper."""
    warmup: float = 0.3
    """Share of the epochs in which the weights alone are trained, before the widths and depths move; the paper's is
    0."""
    unpruned_first: float = 0.0
    """Share of the epochs, the first part of --warmup, in which the unpruned network is trained. All widths and depths
    then start from its weights, the channels sorted by importance. 0 samples networks from the start."""
    samples: int = 2
    """|I|: candidates of each width that are sampled and mixed in every step."""
    depth_training: Literal["drawn", "mixed"] = "drawn"
    """What the weights learn on: drawn, one depth of each stage in every step, so that a network of few blocks is
    trained as what it is; or mixed, the outputs of all depths at once, as in the paper. The logits learn on all."""
    ratios: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Candidate widths, as shares of a convolution's channels, e.g. --ratios [0.25,0.5,1.0]."""
    round_to: int = 1
    """Widths are multiples of this, or the full ones; 8 suits most processors."""
    exclude: tuple[str, ...] = ()
    """Layers and stages that keep their full width or depth, e.g. --exclude [conv1,layer4.*]."""
    cost_weight: float = 2.0
    """lambda: the weight of the cost loss beside the cross-entropy; 0 searches without a budget's pull."""
    tau_start: float = 1.0
    """Temperature of the Gumbel-softmax until the widths and depths move; then it changes linearly. The paper's is 10;
    the gradient of the loss falls with it, that of the cost does not."""
    tau_end: float = 0.1
    """Temperature at the end."""
    arch_optimizer: Literal["sgd", "adam"] = "sgd"
    """What moves the widths' and depths' logits: sgd, each by what it changes in the loss; or adam, the paper's, all by
    steps about as large, also those that change nothing."""
    arch_lr: float | None = None
    """Learning rate of the logits. None takes, with sgd, 1600 / their steps, at most 5, so that a longer search moves
    them as far on more images; with adam 0.02, where the paper's is 0.001 for searches of 600 epochs."""
    arch_weight_decay: float = 0.0
    """L2 penalty of the logits; the paper's is 0.001."""
    rank: int = 0
    """After the search, train so many random networks inside the budget alone, and report Kendall's rank correlation
    between their accuracy and the supernet's loss for them: whether the search could see. 0 does not; 20 or more tell
    something."""
    rank_epochs: int = 10
    """With --rank: passes over the weights' half of the training images for each network."""
    rank_lr: float = 0.1
    """With --rank: learning rate of each network at the start, from random weights; --lr is the search's alone."""
    rank_from: str | None = None
    """With --rank: directory of a finished search that drew the same networks and trained them alike. Their accuracies
    are taken from it, which saves most of the time; the supernet's losses are this search's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        inside("flops_target", self.flops_target, 0 < self.flops_target <= 1, "above 0, at most 1")
        inside("tolerance", self.tolerance, 0.001 <= self.tolerance < 1, "from 0.001 to below 1")
        inside("search", self.search, self.search in ("width", "depth", "both"), "width, depth or both")
        usable = bool(self.ratios) and all(0 < ratio <= 1 for ratio in self.ratios) and max(self.ratios) == 1
        inside("ratios", self.ratios, usable, "shares above 0, at most 1, with 1.0 among them")
        at_least(1, round_to=self.round_to)
        inside("warmup", self.warmup, 0 <= self.warmup < 1, "from 0 to below 1")
        usable = 0 <= self.unpruned_first <= self.warmup
        inside("unpruned_first", self.unpruned_first, usable, f"from 0 to --warmup, {self.warmup:g}")
        check_start(self.pretrained, self.weights, self.init)
        kinds = len(set(self.ratios))
        inside("samples", self.samples, 1 <= self.samples <= kinds, f"1 to the {kinds} --ratios")
        at_least(0, cost_weight=self.cost_weight, arch_weight_decay=self.arch_weight_decay)
        at_least(0.001, tau_start=self.tau_start, tau_end=self.tau_end)
        if self.arch_lr is not None:
            above(0, arch_lr=self.arch_lr)
        inside("rank", self.rank, self.rank == 0 or self.rank >= 2, "0, or 2 and more")
        at_least(1, rank_epochs=self.rank_epochs)
        above(0, rank_lr=self.rank_lr)
        if self.rank_from is not None and not self.rank:
            raise TasError("--rank-from goes with --rank")
