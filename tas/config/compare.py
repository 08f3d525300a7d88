"""The options of `tas compare`."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from tas.config.checks import above, at_least, distinct, inside, named
from tas.config.groups import Dataset, Machine, Ranking, Recipe, Source
from tas.config.methods import COUNTED_MEASURES
from tas.config.options import Options
from tas.config.targets import Targets, Timing
from tas.errors import TasError

TRAININGS = ("scratch-e", "scratch-b", "finetune", "init")
"""How a found network is trained, without a teacher."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Options):
    """Compare methods at equal cost: find, train and judge networks, over seeds."""

    source: Source = Source()
    dataset: Dataset = Dataset()
    targets: Targets = Targets()
    timing: Timing = Timing()
    recipe: Recipe = Recipe(epochs=60)
    ranking: Ranking = Ranking()
    machine: Machine = Machine(devices="1")
    methods: tuple[str, ...] = ("uniform", "shallow", "balanced", "random", "l1", "tas")
    """How networks are found: tas, tas-width, tas-depth, a --method of `tas prune`, or names of --variants."""
    controls: tuple[str, ...] = ("uniform", "shallow", "balanced", "random")
    """Methods that the others are compared with, where they are among --methods."""
    training: tuple[str, ...] = ("scratch-e",)
    """How they are trained: scratch-e, from random weights for --epochs; scratch-b, the same for as much compute as
    --epochs of the unpruned network; finetune, from the weights that the method left; init, from those of the supernet
    or, where there is none, of the unpruned network. With +kd, taught by the unpruned network; kd is scratch-e+kd. An
    empty list trains none."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; everything is found and trained once with each."""
    teacher_epochs: int | None = None
    """Passes when the unpruned network is trained; none takes --epochs."""
    teachers: int = 1
    """With +kd: unpruned networks that teach together, the average of their logits: that of the training's own seed and
    those of the next ones of --seeds, after the last the first."""
    finetune_lr_factor: float = 0.1
    """The learning rate of finetune, as a share of --lr."""
    inherit: Literal["supernet", "teacher"] | None = None
    """What finetune starts from after a search: the supernet's weights, or the teacher's, the unpruned network's most
    important channels. None takes the supernet's where it started from the teacher's, and the teacher's else."""
    search: dict[str, Any] | None = None
    """Options for every `tas search`, e.g. --search.epochs 20."""
    prune: dict[str, Any] | None = None
    """Options for every `tas prune`, e.g. --prune.epochs 5."""
    train: dict[str, Any] | None = None
    """Options for every `tas train`, e.g. --train.kd_alpha 0.5."""
    variants: dict[str, dict[str, Any]] | None = None
    """Further methods, each another one with other options, e.g. in YAML {tas-8: {method: tas, samples: 8}}."""
    output: str | None = None
    """Directory for all runs and the report. The same command goes on where it was; more methods, trainings, targets
    and seeds may be asked for later."""
    jobs: int = 1
    """Runs at once, each in a process of its own, which share the processor's cores."""
    ray: str | None = None
    """Run on a Ray cluster instead: its address, auto for the one of this machine, or local to start one here."""
    job_cpus: float = 1.0
    """With --ray: processor cores that a run takes."""
    job_gpus: float = 0.0
    """With --ray: GPUs that a run takes; 0.5 lets two share one."""

    def __post_init__(self) -> None:
        at_least(1, epochs=self.recipe.epochs)
        known = [name + kd for kd in ("", "+kd") for name in TRAININGS]
        named("training", self.training, (*known, "kd"), may_be_empty=True)
        inside(
            "training",
            ",".join(self.training),
            not {"kd", "scratch-e+kd"} <= set(self.training),
            "either kd or scratch-e+kd, which are the same",
        )
        distinct("seeds", self.seeds)
        for seed in self.seeds:
            inside("seeds", seed, 0 <= seed < 2**32, "0 to 4294967295 each")
        if self.teacher_epochs is not None:
            at_least(1, teacher_epochs=self.teacher_epochs)
        inside("teachers", self.teachers, 1 <= self.teachers <= len(self.seeds), f"1 to the {len(self.seeds)} --seeds")
        if self.teachers > 1 and not any(name.endswith("kd") for name in self.training):
            raise TasError("--teachers goes with a --training with +kd")
        above(0, finetune_lr_factor=self.finetune_lr_factor, job_cpus=self.job_cpus)
        at_least(1, jobs=self.jobs)
        at_least(0, job_gpus=self.job_gpus)
        if self.ray is not None and self.jobs != 1:
            raise TasError("--jobs and --ray exclude each other; give one")
        if self.ray is None and (self.job_cpus, self.job_gpus) != (1.0, 0.0):
            raise TasError("--job-cpus and --job-gpus go with --ray")
        aimed_at = set(self.targets.amounts())
        if "latency" in aimed_at and (self.jobs > 1 or self.ray is not None):
            raise TasError("--latency-targets: times are measured with nothing beside; not with --jobs or --ray")
        if self.ranking.rank and (self.targets.together or not aimed_at <= set(COUNTED_MEASURES)):
            raise TasError("--rank goes with --flops-targets and --params-targets, each target alone")
        if not re.fullmatch("1|[0-9]+,", self.machine.devices) or self.machine.num_nodes != 1:
            raise TasError(
                "--devices and --num-nodes: every run of a comparison takes one device; give 1, or which, such as 2,"
            )
