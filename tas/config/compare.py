"""The options of `tas compare`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tas.config.checks import above, at_least, inside
from tas.config.common import RecipeOptions
from tas.config.prune import METHODS
from tas.errors import TasError, did_you_mean

SEARCHES = {"tas": "both", "tas-width": "width", "tas-depth": "depth"}
"""Methods that are searches -> what they search."""

UNPRUNED = "unpruned"
"""What stands for a method in the results of the unpruned network."""

TRAININGS = ("scratch-e", "scratch-b", "finetune", "init")
"""How a found network is trained, without a teacher."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(RecipeOptions):
    """Compare methods at equal cost: find, train and judge networks, over seeds."""

    methods: tuple[str, ...] = ("uniform", "random", "l1", "tas")
    """How networks are found: tas, tas-width, tas-depth, uniform, random, l1, slimming, sss, fpgm, thinet,
    reconstruction, taylor, autopruner, unstructured, or names of --variants."""
    controls: tuple[str, ...] = ("uniform", "random")
    """Methods that the others are compared with, where they are among --methods."""
    training: tuple[str, ...] = ("scratch-e",)
    """How they are trained: scratch-e, from random weights for --epochs; scratch-b, the same for as much compute as
    --epochs of the unpruned network; finetune, from the weights that the method left; init, from those of the supernet
    or, where there is none, of the unpruned network. With +kd, taught by the unpruned network; kd is scratch-e+kd. An
    empty list trains none."""
    flops_targets: tuple[float, ...] = (0.5,)
    """FLOPs to keep, as shares of the unpruned network's; above 0, at most 1."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; everything is found and trained once with each."""
    network: str = "resnet20"
    """The network to make smaller, as for `tas search`."""
    pretrained: bool = False
    """The unpruned network is trained further from its library's weights, not from random ones."""
    data: str = "digits"
    """The data set: digits, cifar10, cifar100, folder or imagenet."""
    data_dir: str = "data"
    """Directory of the data set; the CIFARs are downloaded into it when absent."""
    epochs: int = 60
    """Passes over the training images when a found network is trained; searches have their own, --search.epochs."""
    teacher_epochs: int | None = None
    """Passes when the unpruned network is trained; none takes --epochs."""
    teachers: int = 1
    """With +kd: unpruned networks that teach together, the average of their logits: that of the training's own seed and
    those of the next ones of --seeds, after the last the first."""
    finetune_lr_factor: float = 0.1
    """The learning rate of finetune, as a share of --lr."""
    tolerance: float = 0.02
    """How far a found network may be from its target, as a share of the target."""
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
        super().__post_init__()
        variants = self.variants or {}
        for name, options in variants.items():
            check_variant(name, options)
        check_names("methods", self.methods, (*SEARCHES, *METHODS, *variants))
        check_names("controls", self.controls, (*SEARCHES, *METHODS, *variants), may_be_empty=True)
        known = [name + kd for kd in ("", "+kd") for name in TRAININGS]
        check_names("training", self.training, (*known, "kd"), may_be_empty=True)
        inside(
            "training",
            ",".join(self.training),
            not {"kd", "scratch-e+kd"} <= set(self.training),
            "either kd or scratch-e+kd, which are the same",
        )
        # As folders are named for them: 0.50000001 and 0.5 would share one.
        check_distinct("flops_targets", [f"{target:g}" for target in self.flops_targets])
        check_distinct("seeds", self.seeds)
        for target in self.flops_targets:
            inside("flops_targets", target, 0 < target <= 1, "shares above 0, at most 1")
        for seed in self.seeds:
            inside("seeds", seed, 0 <= seed < 2**32, "0 to 4294967295 each")
        if self.teacher_epochs is not None:
            at_least(1, teacher_epochs=self.teacher_epochs)
        inside("teachers", self.teachers, 1 <= self.teachers <= len(self.seeds), f"1 to the {len(self.seeds)} --seeds")
        if self.teachers > 1 and not any(name.endswith("kd") for name in self.training):
            raise TasError("--teachers goes with a --training with +kd")
        above(0, finetune_lr_factor=self.finetune_lr_factor, job_cpus=self.job_cpus)
        inside("tolerance", self.tolerance, 0.001 <= self.tolerance < 1, "from 0.001 to below 1")
        at_least(1, jobs=self.jobs)
        at_least(0, job_gpus=self.job_gpus)
        if self.output is None:
            raise TasError("--output is missing; give the directory for the runs and the report")
        if self.ray is not None and self.jobs != 1:
            raise TasError("--jobs and --ray exclude each other; give one")
        if self.ray is None and (self.job_cpus, self.job_gpus) != (1.0, 0.0):
            raise TasError("--job-cpus and --job-gpus go with --ray")


def check_variant(name: str, options: dict[str, Any]) -> None:
    """TasError unless a variant has a usable name and says which method it varies."""
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in (*SEARCHES, *METHODS, UNPRUNED):
        raise TasError(
            f"--variants: {name!r} cannot be a name; allowed: letters, digits, . _ - and neither a method's name "
            f"nor {UNPRUNED}"
        )
    method = options.get("method")
    if method not in (*SEARCHES, *METHODS):
        raise TasError(f"--variants: {name} has the method {method!r}; allowed: {', '.join((*SEARCHES, *METHODS))}")


def check_names(key: str, names: Sequence[str], known: Sequence[str], may_be_empty: bool = False) -> None:
    """TasError unless all names are known, and each is there once."""
    check_distinct(key, names, may_be_empty)
    for name in names:
        inside(key, name, name in known, ", ".join(known) + did_you_mean(name, known))


def check_distinct(key: str, values: Sequence[Any], may_be_empty: bool = False) -> None:
    """TasError unless each value is there once and, if need be, one at all."""
    allowed = "each value once" if may_be_empty else "one value or more, each once"
    given = ", ".join(map(str, values)) or "empty"
    inside(key, given, len(set(values)) == len(values) and (may_be_empty or bool(values)), allowed)
