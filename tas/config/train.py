"""The options of `tas train`."""

from dataclasses import dataclass
from typing import Literal

from tas.config.checks import above, at_least, check_start, flag, inside
from tas.config.common import CommonOptions
from tas.errors import TasError


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CommonOptions):
    """Train a found network, or an unpruned one, with or without a teacher."""

    architecture: str | None = None
    """The network to train: an architecture.json, or the run that holds it; none takes the newest finished search
    in runs/search."""
    network: str | None = None
    """Train this unpruned network instead."""
    data: str | None = None
    """The data set: digits, cifar10, cifar100, folder or imagenet; none takes the search's, or digits without one."""
    data_dir: str | None = None
    """Directory of the data set; none takes the search's, or "data" without one."""
    train_images: int | None = None
    """Use no more than so many of the training images, equally many of every class: the first ones. None takes the
    search's number, or all without one."""
    epochs: int = 60
    """Passes over the training images."""
    pretrained: bool = False
    """With --network: the trained weights of its library are those of the original network. With --architecture that
    is taken from its search."""
    weights: str | None = None
    """With --network: trained weights of the original network, in this file (a state dict) or finished training run.
    With --architecture that is taken from its search."""
    init: Literal["scratch", "teacher", "inherited"] = "scratch"
    """How the found network starts: scratch, fresh; teacher, the best channels of the trained original; inherited, the
    weights that stand beside its architecture: those of the supernet after `tas search`."""
    kd: bool = False
    """Distil the knowledge of a teacher: the unpruned network, trained first unless that was done before."""
    keep_zeros: bool = False
    """Weights of convolutions and linear layers that are zero at the start stay zero: for networks that were pruned
    weight by weight. With --init inherited, or --network and --weights."""
    teacher: tuple[str, ...] = ()
    """With --kd: finished training runs, e.g. --teacher runs/train/a runs/train/b. The student learns from the average
    of their logits; --init teacher takes the first's weights. Without any, the unpruned network teaches."""
    compile: bool = False
    """Compile the network and its teachers with torch.compile, which takes time at the start: for long trainings."""
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
        super().__post_init__()
        if self.network is not None and self.architecture is not None:
            raise TasError("--network and --architecture exclude each other; give one")
        if self.teacher and not (self.kd or self.init == "teacher"):
            raise TasError("--teacher goes with --kd or --init teacher")
        if len(self.teacher) > 1 and not self.kd:
            raise TasError("--teacher names several; without --kd, --init teacher takes the weights of one")
        if self.network is None and (self.pretrained or self.weights):
            raise TasError("--pretrained and --weights go with --network; an architecture has its search's")
        if self.init == "inherited" and self.network is not None:
            raise TasError("--init inherited goes with --architecture, beside which the weights are")
        given = self.network is not None and self.weights is not None
        if self.keep_zeros and not (given or self.init == "inherited"):
            raise TasError("--keep-zeros goes with --init inherited, or with --network and --weights")
        check_start(self.pretrained, self.weights, None)
        inside("kd_alpha", self.kd_alpha, 0 <= self.kd_alpha <= 1, "from 0 to 1")
        above(0, kd_temperature=self.kd_temperature)
        at_least(0, attention_transfer=self.attention_transfer, hints=self.hints)
        for key in ("attention_transfer", "hints"):
            if getattr(self, key) > 0 and not self.kd:
                raise TasError(f"{flag(key)} goes with --kd")
