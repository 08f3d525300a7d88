"""The options, each once, in groups: every component takes the group that it is for.

A group's first line is its heading in --help, and the sentence under a field explains the option. Flags and YAML keys
are the fields' names, without the group's: they stay flat.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from tas.config.checks import above, at_least, inside
from tas.config.functions import is_own
from tas.config.interval import Interval
from tas.errors import TasError

WHERE = {"where": True}
"""Marks an option that says where something is, or where it is computed, and not what: a run may go on with another."""

OTHER_RUN = {"other_run": True}
"""Marks an option that names other runs: it changes when they are all moved together."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Network and the weights that it starts from."""

    network: str | None = "resnet20"
    """The unpruned network: resnet20, resnet32, resnet44, resnet56, resnet110, resnet164, mobilenetv2 (for small
    images), torchvision/NAME, timm/NAME, or package.module:factory, a function of one's own that makes a network.
    `tas train` trains it as it is, in the place of an --architecture."""
    pretrained: bool = False
    """Start from the trained weights of the library that --network names. `tas train` has an architecture's from its
    search."""
    weights: str | None = field(default=None, metadata=OTHER_RUN)
    """Start from the trained weights in this file (a state dict, a checkpoint of Lightning, timm, ..., safetensors) or
    finished training run. `tas train` has an architecture's from its search."""

    def __post_init__(self) -> None:
        if self.pretrained and self.weights is not None:
            raise TasError("--pretrained and --weights exclude each other; give one")

    @property
    def name(self) -> str:
        """The network's name, where one is known to be given."""
        assert self.network is not None
        return self.network

    @property
    def trained(self) -> bool:
        """Whether trained weights are given."""
        return self.pretrained or self.weights is not None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images."""

    data: str | None = "digits"
    """The data set: digits, cifar10, cifar100, folder or imagenet. None, with `tas train`, takes that of the search, or
    digits without one."""
    data_dir: str | None = field(default="data", metadata=WHERE)
    """Directory of the data set; the CIFARs are downloaded into it when absent. None, with `tas train`, takes that of
    the search, or "data" without one."""
    image_size: int | None = None
    """With --data folder: height and width, in pixels, to which images are brought; none leaves them as they are. With
    --data imagenet: height and width of the crops; none is 224."""
    train_images: int | None = None
    """Use no more than so many of the training images, equally many of every class: the first ones. None uses all;
    with `tas train` as many as the search did."""
    # Where a run with error ends well, one with skip is the same.
    on_bad_image: Literal["error", "skip"] | None = field(default="error", metadata=WHERE)
    """Image files that cannot be read, with --data folder or imagenet: error, they end the command, which names them;
    or skip, they are left out, with a warning, and with --data imagenet the headers of all files are read at the start.
    None, with `tas train`, does as the search did, or ends without one."""

    def __post_init__(self) -> None:
        known = self.on_bad_image in (None, "error", "skip")
        inside("on_bad_image", self.on_bad_image, known, "error or skip")
        if self.train_images is not None:
            at_least(1, train_images=self.train_images)
        if self.image_size is not None:
            at_least(8, image_size=self.image_size)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training of the weights."""

    epochs: int = 60
    """Passes over the training images: of a search over those that its weights learn by, of `tas prune` where the
    method trains, of `tas compare` when a found network is trained."""
    batch_size: int = 64
    """Images in a batch."""
    lr: float = 0.1
    """Learning rate of the weights at the start; it falls to 0 along a cosine."""
    momentum: float = 0.9
    """Nesterov momentum of the weights' SGD."""
    weight_decay: float = 5e-4
    """L2 penalty of the weights' SGD."""
    loss: str | None = None
    """package.module:function, a loss of one's own in the place of the cross-entropy: from logits (N, classes) and
    labels (N,) to a scalar. One that also takes `teacher_logits` stands for the whole loss of --kd, and goes with it
    alone."""

    def __post_init__(self) -> None:
        if self.loss is not None:
            inside("loss", self.loss, is_own(self.loss), "package.module:function")
        at_least(1, batch_size=self.batch_size)
        at_least(0, epochs=self.epochs)
        at_least(0, weight_decay=self.weight_decay)
        above(0, lr=self.lr)
        inside("momentum", self.momentum, 0 <= self.momentum < 1, "from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Machine: what computes, and in which numbers."""

    workers: int = field(default=0, metadata=WHERE)
    """Processes that make batches of images; 0 makes them in the main one."""
    accelerator: str = field(default="auto", metadata=WHERE)
    """Lightning's: cpu, gpu, mps, ... or auto."""
    devices: str = "auto"
    """Lightning's: how many devices, or which."""
    lightning_strategy: str = field(default="auto", metadata=WHERE)
    """Lightning's `strategy`: ddp, fsdp, ... or auto."""
    precision: str = "32-true"
    """Lightning's: 32-true, bf16-mixed, 16-mixed, ..."""
    num_nodes: int = 1
    """Lightning's: how many machines."""
    sync_batchnorm: bool = False
    """On several devices: batch norms take their statistics from the batches of all, as one device with all images
    would; else each from its own."""
    deterministic: bool = field(default=False, metadata=WHERE)
    """Lightning's: torch takes algorithms on a GPU that give the same every time, or stops where it has none; on a CPU
    results are the same without it."""

    def __post_init__(self) -> None:
        at_least(0, workers=self.workers)
        at_least(1, num_nodes=self.num_nodes)


def check_not_compiled(machine: Machine, compiled: bool) -> None:
    """TasError where torch.compile would have to take norms that ask other processes."""
    if machine.sync_batchnorm and compiled:
        raise TasError("--sync-batchnorm does not go with --compile")


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """Widths."""

    round_to: int = 1
    """Widths are multiples of this, or the full ones; 8 suits most processors."""

    def __post_init__(self) -> None:
        at_least(1, round_to=self.round_to)


@dataclass(frozen=True, kw_only=True)
class Space(Rounding):
    """Space: what can be found."""

    search: Literal["width", "depth", "both"] = "both"
    """What is searched: width, depth or both."""
    residuals: Literal["tied", "free"] = "tied"
    """Convolutions of a CIFAR ResNet that a residual sum joins: tied, they share one width, and the shortcut stays the
    identity; or free, each has a width of its own, as in the paper, and a projection comes where they differ."""
    ratios: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Candidate widths, as shares of a convolution's channels, e.g. --ratios [0.25,0.5,1.0]."""
    exclude: tuple[str, ...] = ()
    """Layers and stages that keep their full width or depth, e.g. --exclude [conv1,layer4.*]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        inside("search", self.search, self.search in ("width", "depth", "both"), "width, depth or both")
        usable = bool(self.ratios) and all(0 < ratio <= 1 for ratio in self.ratios) and max(self.ratios) == 1
        inside("ratios", self.ratios, usable, "shares above 0, at most 1, with 1.0 among them")


OF_SANDWICH = ("random_networks", "held_out", "probes", "probe_images", "draws")
"""The options of the strategy sandwich; all others but the strategy itself are those of gumbel-mixture."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """Strategy: how the search learns."""

    strategy: Literal["sandwich", "gumbel-mixture"] = "sandwich"
    """sandwich: the unpruned network, the smallest and random ones learn together, then single networks are asked what
    they are worth, or with --epochs 0 a given trained network as it is; or gumbel-mixture, the paper's: weights and
    logits of mixtures of candidates learn by turns."""
    random_networks: int = 2
    """With sandwich: networks drawn in every step that learn beside the unpruned and the smallest one."""
    held_out: float = 0.2
    """With sandwich: share of the training images that the weights do not see, and networks are asked by."""
    probes: int = 200
    """With sandwich: networks that are asked."""
    probe_images: int = 1024
    """With sandwich: held-out images by which each is asked, at most."""
    draws: int = 200
    """With sandwich: draws of the scores as they may be; the share that chooses a candidate is its probability."""
    align: Literal["pad", "interpolate"] = "pad"
    """With gumbel-mixture: how candidates of different widths are mixed: pad, filled up with zeros, so that every
    channel keeps its place; or interpolate, their channels interpolated to the widest one's, as in the paper."""
    compute: Literal["auto", "sliced", "masked", "captured"] = "auto"
    """How steps compute what is drawn: sliced, the channels that are drawn and no others; masked, all channels, of
    which those that are not drawn are 0, so that shapes stay the same and a GPU never waits for the host; or captured,
    the same as a CUDA graph, which a GPU does without the host. auto is sliced on a CPU; elsewhere it takes what is
    fastest at the start, and says which."""
    warmup: float = 0.3
    """With gumbel-mixture: share of the epochs in which the weights alone are trained, before the widths and depths
    move; the paper's is 0."""
    samples: int = 2
    """With gumbel-mixture: |I|, candidates of each width that are sampled and mixed in every step."""
    depth_training: Literal["drawn", "mixed"] = "drawn"
    """With gumbel-mixture: what the weights learn on: drawn, one depth of each stage in every step, so that a network
    of few blocks is trained as what it is; or mixed, the outputs of all depths at once, as in the paper. The logits
    learn on all."""
    cost_weight: float = 2.0
    """With gumbel-mixture: lambda, the weight of the cost loss beside the cross-entropy; with 0 no budget pulls."""
    tau_start: float = 1.0
    """With gumbel-mixture: temperature of the Gumbel-softmax until the widths and depths move; then it changes
    linearly. The paper's is 10; the gradient of the loss falls with it, that of the cost does not."""
    tau_end: float = 0.1
    """With gumbel-mixture: temperature at the end."""
    arch_optimizer: Literal["sgd", "adam"] = "sgd"
    """With gumbel-mixture: what moves the widths' and depths' logits: sgd, each by what it changes in the loss, so
    that their sums, which the derivation weighs against the cost, add up losses; or adam, the paper's, all by steps
    about as large, also those that change nothing."""
    arch_lr: float | None = None
    """With gumbel-mixture: learning rate of the logits. None takes, with sgd, 1600 / their steps, at most 5, so that a
    longer search moves them as far on more images; with adam 0.02, where the paper's is 0.001 for searches of 600
    epochs."""
    arch_weight_decay: float = 0.0
    """With gumbel-mixture: L2 penalty of the logits; the paper's is 0.001."""

    def __post_init__(self) -> None:
        known = self.strategy in ("sandwich", "gumbel-mixture")
        inside("strategy", self.strategy, known, "sandwich or gumbel-mixture; Lightning's is --lightning-strategy")
        for key, spec in type(self).__dataclass_fields__.items():
            owner = "sandwich" if key in OF_SANDWICH else "gumbel-mixture"
            if key not in ("strategy", "compute") and getattr(self, key) != spec.default and self.strategy != owner:
                raise TasError(f"--{key.replace('_', '-')} goes with --strategy {owner}, not with {self.strategy}")
        ways = ("auto", "sliced", "masked", "captured")
        inside("compute", self.compute, self.compute in ways, "auto, sliced, masked or captured")
        at_least(0, random_networks=self.random_networks)
        at_least(20, probes=self.probes)
        at_least(1, probe_images=self.probe_images, draws=self.draws)
        inside("held_out", self.held_out, 0 < self.held_out < 1, "above 0, below 1")
        inside("warmup", self.warmup, 0 <= self.warmup < 1, "from 0 to below 1")
        at_least(1, samples=self.samples)
        at_least(0, cost_weight=self.cost_weight, arch_weight_decay=self.arch_weight_decay)
        at_least(0.001, tau_start=self.tau_start, tau_end=self.tau_end)
        if self.arch_lr is not None:
            above(0, arch_lr=self.arch_lr)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Ranking: whether searches can see."""

    rank: int = 0
    """Train so many random networks inside the budget alone, and report Kendall's rank correlation between their
    accuracy and each search's supernet's loss for them: whether the search could see. 0 does not; 20 or more tell
    something."""
    rank_epochs: int = 10
    """With --rank: passes over the weights' half of the training images for each network."""
    rank_lr: float = 0.1
    """With --rank: learning rate of each network at the start, from random weights."""
    ranked: tuple[str, ...] = ()
    """With --rank: the searches that are asked, where they are among --methods; an empty list takes all of them."""

    def __post_init__(self) -> None:
        inside("rank", self.rank, self.rank == 0 or self.rank >= 2, "0, or 2 and more")
        at_least(1, rank_epochs=self.rank_epochs)
        above(0, rank_lr=self.rank_lr)
        if self.ranked and not self.rank:
            raise TasError("--ranked goes with --rank")


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Distillation: what a student learns from its teachers."""

    kd: bool = False
    """Distil the knowledge of a teacher: the unpruned network, trained first unless that was done before."""
    teacher: tuple[str, ...] = field(default=(), metadata=OTHER_RUN)
    """With --kd: finished training runs, --teacher runs/train/a runs/train/b, or files with weights of the unpruned
    network, which else teaches. Several teach by the average of their logits; --init teacher takes the first's."""
    kd_alpha: float = 0.9
    """With --kd: weight of the teacher's part in the loss, from 0 to 1."""
    kd_temperature: float = 4.0
    """With --kd: temperature at which the two networks' outputs are compared."""
    attention_transfer: float = 0.0
    """With --kd: weight (beta) of the term that draws where the student is active, at the end of every stage, to where
    its teachers are; 0 leaves it out, 1000 is its paper's."""
    hints: float = 0.0
    """With --kd: weight of the term that draws the student's features at the end of the middle stage, through a 1x1
    convolution that trains with it, to its teachers'; 0 leaves it out."""

    def __post_init__(self) -> None:
        inside("kd_alpha", self.kd_alpha, 0 <= self.kd_alpha <= 1, "from 0 to 1")
        above(0, kd_temperature=self.kd_temperature)
        at_least(0, attention_transfer=self.attention_transfer, hints=self.hints)
        if self.feature_flags and not self.kd:
            raise TasError(f"{self.feature_flags} goes with --kd")
        if len(self.teacher) > 1 and not self.kd:
            raise TasError("--teacher names several; without --kd, --init teacher takes the weights of one")

    @property
    def feature_flags(self) -> str:
        """The flags of the feature terms that are wanted; empty without any."""
        wanted = {"--attention-transfer": self.attention_transfer, "--hints": self.hints}
        return " ".join(flag for flag, weight in wanted.items() if weight > 0)


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Run: its seed, and where it is kept."""

    seed: int = 0
    """Of initialisation, splits, shuffles, augmentation and sampling."""
    output: str | None = field(default=None, metadata=WHERE)
    """Directory for what the run leaves; none makes runs/COMMAND/NETWORK-DATA-TIME."""
    resume: str | None = field(default=None, metadata=WHERE)
    """Directory of an interrupted run to go on with, from its last checkpoint and with its options; without a value the
    newest one in runs/COMMAND."""
    checkpoint_every: str = field(default="10min", metadata=WHERE)
    """How often a checkpoint is written inside of an epoch, beside that at its end: after a time such as 30s, 10min or
    2h, or so many steps, 500steps."""
    keep_checkpoints: int = field(default=1, metadata=WHERE)
    """How many checkpoints are kept; where the newest one is damaged, a run goes on from the one before it."""

    def __post_init__(self) -> None:
        inside("seed", self.seed, 0 <= self.seed < 2**32, "0 to 4294967295")
        at_least(1, keep_checkpoints=self.keep_checkpoints)
        Interval.read("checkpoint_every", self.checkpoint_every)

    @property
    def often(self) -> Interval:
        """How often a checkpoint is written."""
        return Interval.read("checkpoint_every", self.checkpoint_every)


def whole(group: Any) -> dict[str, Any]:
    """The options of a group that say what a run is, not where: name -> value."""
    return {
        name: getattr(group, name)
        for name, spec in group.__dataclass_fields__.items()
        if not spec.metadata.get("where")
    }
