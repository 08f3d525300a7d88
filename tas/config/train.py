"""The options of `tas train`."""

from dataclasses import dataclass, field
from typing import Literal

from tas.config.checks import at_least
from tas.config.groups import OTHER_RUN, Dataset, Distillation, Keeping, Machine, Recipe, Source, check_not_compiled
from tas.config.options import Options
from tas.errors import TasError


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train a found network, or an unpruned one, with or without a teacher."""

    source: Source = Source(network=None)
    dataset: Dataset = Dataset(data=None, data_dir=None, on_bad_image=None)
    distillation: Distillation = Distillation()
    recipe: Recipe = Recipe(epochs=60)
    machine: Machine = Machine()
    keeping: Keeping = Keeping()
    architecture: str | None = field(default=None, metadata=OTHER_RUN)
    """The network to train: an architecture.json, or the run that holds it; none takes the newest finished search
    in runs/search."""
    init: Literal["scratch", "teacher", "inherited"] | None = None
    """How the found network starts: scratch, fresh; teacher, the best channels of the trained original; inherited, the
    weights that stand beside its architecture: those of the supernet after `tas search`. None takes inherited after a
    search by the strategy sandwich, and where a search or pruning started from trained weights, else scratch."""
    keep_zeros: bool = False
    """Weights of convolutions and linear layers that are zero at the start stay zero: for networks that were pruned
    weight by weight. With --init inherited, or --network and --weights."""
    compile: bool = False
    """Compile the network and its teachers with torch.compile, which takes time at the start: for long trainings."""

    def __post_init__(self) -> None:
        at_least(1, epochs=self.recipe.epochs)
        check_not_compiled(self.machine, self.compile)
        source, distillation = self.source, self.distillation
        if source.network is not None and self.architecture is not None:
            raise TasError("--network and --architecture exclude each other; give one")
        if distillation.teacher and not (distillation.kd or self.init == "teacher"):
            raise TasError("--teacher goes with --kd or --init teacher")
        if source.network is None and source.trained:
            raise TasError("--pretrained and --weights go with --network; an architecture has its search's")
        if self.init == "inherited" and source.network is not None:
            raise TasError("--init inherited goes with --architecture, beside which the weights are")
        given = source.network is not None and source.weights is not None
        if self.keep_zeros and not (given or self.init == "inherited"):
            raise TasError("--keep-zeros goes with --init inherited, or with --network and --weights")
