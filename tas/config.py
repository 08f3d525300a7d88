"""The options of the commands: one field each, for Python, YAML and flags alike."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from tas.errors import TasError, gist, nearest


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command takes."""

    image_size: int | None = None
    """With --data folder: height and width, in pixels, to which images are brought; none leaves them as they are. With
    --data imagenet: height and width of the crops; none is 224."""
    batch_size: int = 64
    """Images in a batch."""
    workers: int = 0
    """Processes that make batches of images; 0 makes them in the main one."""
    lr: float = 0.1
    """Learning rate of the weights at the start; it falls to 0 along a cosine."""
    momentum: float = 0.9
    """Nesterov momentum of the weights' SGD."""
    weight_decay: float = 5e-4
    """L2 penalty of the weights' SGD."""
    epochs: int
    """Passes over the training images."""
    seed: int = 0
    """Of initialisation, splits, shuffles, augmentation and sampling."""
    output: str | None = None
    """Directory for what the run leaves; none makes runs/search/NETWORK-DATA-TIME, or runs/train/..."""
    resume: str | None = None
    """Directory of an interrupted run to go on with, from its last checkpoint and with its options."""
    accelerator: str = "auto"
    """Lightning's: cpu, gpu, mps, ... or auto."""
    devices: str = "auto"
    """Lightning's: how many devices, or which."""
    strategy: str = "auto"
    """Lightning's: ddp, fsdp, ... or auto."""
    precision: str = "32-true"
    """Lightning's: 32-true, bf16-mixed, 16-mixed, ..."""
    num_nodes: int = 1
    """Lightning's: how many machines."""

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size, epochs=self.epochs, num_nodes=self.num_nodes)
        at_least(0, workers=self.workers, weight_decay=self.weight_decay)
        inside("seed", self.seed, 0 <= self.seed < 2**32, "0 to 4294967295")
        above(0, lr=self.lr)
        inside("momentum", self.momentum, 0 <= self.momentum < 1, "from 0 to below 1")
        if self.image_size is not None:
            at_least(8, image_size=self.image_size)


@dataclass(frozen=True, kw_only=True)
class SearchOptions(CommonOptions):
    """Options of `tas search`."""

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
    samples: int = 2
    """|I|: candidates of each width that are sampled and mixed in every step."""
    ratios: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Candidate widths, as shares of a convolution's channels, e.g. --ratios [0.25,0.5,1.0]."""
    round_to: int = 1
    """Widths are multiples of this, or the full ones; 8 suits most processors."""
    exclude: tuple[str, ...] = ()
    """Layers and stages that keep their full width or depth, e.g. --exclude [conv1,layer4.*]."""
    cost_weight: float = 2.0
    """lambda: the weight of the cost loss beside the cross-entropy; 0 searches without a budget's pull."""
    tau_start: float = 10.0
    """Temperature of the Gumbel-softmax at the start; it changes linearly."""
    tau_end: float = 0.1
    """Temperature at the end."""
    arch_lr: float = 0.02
    """Learning rate of the widths' and depths' logits (Adam); the paper's 0.001 is for searches of 600 epochs."""
    arch_weight_decay: float = 1e-3
    """L2 penalty of the logits (Adam)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        inside("flops_target", self.flops_target, 0 < self.flops_target <= 1, "above 0, at most 1")
        inside("tolerance", self.tolerance, 0.001 <= self.tolerance < 1, "from 0.001 to below 1")
        inside("search", self.search, self.search in ("width", "depth", "both"), "width, depth or both")
        usable = bool(self.ratios) and all(0 < ratio <= 1 for ratio in self.ratios) and max(self.ratios) == 1
        inside("ratios", self.ratios, usable, "shares above 0, at most 1, with 1.0 among them")
        at_least(1, round_to=self.round_to)
        check_start(self.pretrained, self.weights, self.init)
        kinds = len(set(self.ratios))
        inside("samples", self.samples, 1 <= self.samples <= kinds, f"1 to the {kinds} --ratios")
        at_least(0, cost_weight=self.cost_weight, arch_weight_decay=self.arch_weight_decay)
        at_least(0.001, tau_start=self.tau_start, tau_end=self.tau_end)
        above(0, arch_lr=self.arch_lr)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CommonOptions):
    """Options of `tas train`."""

    architecture: str | None = None
    """The network to train: an architecture.json, or the run that holds it; none takes the newest finished search
    in runs/search."""
    network: str | None = None
    """Train this unpruned network instead."""
    data: str | None = None
    """The data set: digits, cifar10, cifar100, folder or imagenet; none takes the search's, or digits without one."""
    data_dir: str | None = None
    """Directory of the data set; none takes the search's, or "data" without one."""
    epochs: int = 60
    """Passes over the training images."""
    pretrained: bool = False
    """With --network: the trained weights of its library are those of the original network. With --architecture that
    is taken from its search."""
    weights: str | None = None
    """With --network: trained weights of the original network, in this file (a state dict) or finished training run.
    With --architecture that is taken from its search."""
    init: Literal["scratch", "teacher", "supernet"] = "scratch"
    """How the found network starts: scratch, fresh; teacher, the best channels of the trained original; supernet, the
    weights that its search left."""
    kd: bool = False
    """Distil the knowledge of a teacher: the unpruned network, trained first unless that was done before."""
    teacher: str | None = None
    """With --kd: a finished training run whose network is the teacher."""
    compile: bool = False
    """Compile the network and its teacher with torch.compile, which takes its time at the start: for long trainings."""
    kd_alpha: float = 0.9
    """With --kd: weight of the teacher's part in the loss, from 0 to 1."""
    kd_temperature: float = 4.0
    """With --kd: temperature at which the two networks' outputs are compared."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network is not None and self.architecture is not None:
            raise TasError("--network and --architecture exclude each other; give one")
        if self.teacher is not None and not (self.kd or self.init == "teacher"):
            raise TasError("--teacher goes with --kd or --init teacher")
        if self.network is None and (self.pretrained or self.weights):
            raise TasError("--pretrained and --weights go with --network; an architecture has its search's")
        if self.init == "supernet" and self.network is not None:
            raise TasError("--init supernet goes with --architecture, which is where a search left its weights")
        check_start(self.pretrained, self.weights, None)
        inside("kd_alpha", self.kd_alpha, 0 <= self.kd_alpha <= 1, "from 0 to 1")
        above(0, kd_temperature=self.kd_temperature)


def check_start(pretrained: bool, weights: str | None, init: str | None) -> None:
    """TasError unless the ways to start from trained weights go together."""
    if pretrained and weights is not None:
        raise TasError("--pretrained and --weights exclude each other; give one")
    if init == "teacher" and not pretrained and weights is None:
        raise TasError("--init teacher needs trained weights: give --pretrained or --weights")


def read_yaml(blamed: str, path: str | Path, known: Collection[str]) -> dict[str, Any]:
    """Options from a YAML file. TasError, naming what is blamed, unless it maps known options to values."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TasError(f"{blamed}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TasError(f"{blamed}: not YAML ({gist(error)})") from None
    if not isinstance(values, dict):
        raise TasError(f"{blamed}: must map options to values")
    for key in values:
        if key not in known:
            raise TasError(f"{blamed}: key {key!r} is not an option{nearest(str(key), known)}")
    return values


def flag(key: str) -> str:
    """The flag of an option."""
    return "--" + key.replace("_", "-")


def inside(key: str, value: object, holds: bool, allowed: str) -> None:
    """TasError, naming the flag, unless `holds`."""
    if not holds:
        raise TasError(f"{flag(key)} is {value}; allowed: {allowed}")


def at_least(least: float, **values: float) -> None:
    """TasError unless each value is `least` or more."""
    for key, value in values.items():
        inside(key, value, value >= least, f"{least} or more")


def above(bound: float, **values: float) -> None:
    """TasError unless each value is above `bound`."""
    for key, value in values.items():
        inside(key, value, value > bound, f"above {bound}")
