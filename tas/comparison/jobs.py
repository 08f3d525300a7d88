"""The runs that a comparison is made of, each an ordinary command's options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tas.config import CommonOptions, CompareOptions, PruneOptions, SearchOptions, TrainOptions, flag
from tas.config.compare import SEARCHES
from tas.config.parsing import check_known, from_values
from tas.config.search import RANKED_BY
from tas.errors import TasError, blame
from tas.runs.run import Run

LEFT_TO_TAS_COMPARE = {
    "search": ("search", "rank_from"),
    "prune": ("method", "weights", "pretrained"),
    "train": ("epochs", "architecture", "init", "kd", "teacher", "pretrained", "weights"),
}
"""Options of each command that follow from the method or the way of training."""

WITH_A_TEACHER = ("kd_alpha", "kd_temperature", "attention_transfer", "hints")
"""Options of `tas train` that go with a teacher alone."""

NARROWING = ("round_to", "exclude", "ratios")
"""Options of `tas search` that say which networks may be found."""

KINDS: dict[str, type[CommonOptions]] = {"search": SearchOptions, "prune": PruneOptions, "train": TrainOptions}
"""Command -> its options."""

LEFT_TO_EVERY_RUN = ("network", "data", "data_dir", "image_size", "train_images", "flops_target", "tolerance", "seed")
"""Options that all runs of a comparison share, or that tell them apart."""

LEFT_TO_THE_MACHINE = ("output", "resume", "workers", "accelerator", "devices", "strategy", "precision", "num_nodes")
"""Options that are no part of a recipe."""


@dataclass(frozen=True)
class Job:
    """One run of a comparison."""

    kind: Literal["teacher", "structure", "training"]
    path: Path
    """The folder of the run."""
    options: CommonOptions
    """Of the command that runs it."""
    seed: int
    method: str = ""
    """Of a structure or training."""
    target: float = 1.0
    """FLOPs aimed at, as a share of the unpruned network's."""
    training: str = ""
    """How a training trains, +kd included; of the unpruned network scratch-e or pretrained."""
    needs: tuple[Path, ...] = ()
    """Folders of the runs that have to be finished before; of a training, that of the structure first."""

    @property
    def run(self) -> Run:
        """The run; the job is finished when this is."""
        return Run(self.path)

    @property
    def name(self) -> str:
        """What a user calls it."""
        if self.kind == "teacher":
            return f"unpruned network, seed {self.seed}"
        words = (self.method, f"{self.target:g}", *([self.training] if self.training else []))
        return f"{' '.join(words)}, seed {self.seed}"

    @property
    def command(self) -> str:
        """The command that it is a run of."""
        return next(command for command, kind in KINDS.items() if isinstance(self.options, kind))


def list_jobs(options: CompareOptions) -> list[Job]:
    """All runs of a comparison, each after those it needs, a whole seed before the next.

    Raises:
        TasError: An option for the searches, prunings or trainings is not one, or has an impossible value.
    """
    check_sections(options)
    jobs: list[Job] = []
    every = [teacher_job(options, seed) for seed in options.seeds]
    for place in range(len(every)):
        teachers = [*every[place:], *every[:place]][: options.teachers]  # its own first
        below = [
            job
            for target in options.flops_targets
            for method in options.methods
            for job in method_jobs(options, method, target, teachers)
        ]
        needed = {path for job in below for path in job.needs}
        jobs += [teacher for teacher in teachers if teacher.path in needed and teacher not in jobs]
        jobs += below
    return share_rankings(jobs)


def check_sections(options: CompareOptions) -> None:
    """TasError if an option for one of the commands is not one, also where no run would take it."""
    for command in KINDS:
        section(getattr(options, command), command)
    for name, own in (options.variants or {}).items():
        command = "search" if base_of(options, name) in SEARCHES else "prune"
        section({key: value for key, value in own.items() if key != "method"}, command, f"--variants {name}")


def share_rankings(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, where of the searches that rank the same networks the first alone trains them, and the others wait."""
    first: dict[tuple[Any, ...], Path] = {}
    shared = []
    for job in jobs:
        if isinstance(job.options, SearchOptions) and job.options.rank:
            trained = first.setdefault(tuple(getattr(job.options, key) for key in RANKED_BY), job.path)
            if trained != job.path:
                options = replace(job.options, rank_from=str(trained))
                job = replace(job, options=options, needs=(*job.needs, trained))
        shared.append(job)
    return shared


def method_jobs(options: CompareOptions, method: str, target: float, teachers: Sequence[Job]) -> list[Job]:
    """A structure and its trainings, of one seed: that of the first teacher."""
    structure = structure_job(options, method, target, teachers[0])
    trainings = [name for name in options.training if goes_with(name, base_of(options, method))]
    return [structure, *(training_job(options, structure, name, teachers) for name in trainings)]


def remarks(options: CompareOptions) -> list[str]:
    """What was asked for and has no meaning, or less than it seems, in sentences."""
    found = [
        f"{method} is not trained {name}: what is left of its weights has no smaller structure; ask for finetune"
        for method in options.methods
        for name in options.training
        if not goes_with(name, base_of(options, method))
    ]
    sections = [options.search or {}, *((options.variants or {}).get(method, {}) for method in options.methods)]
    given = {key.replace("-", "_") for section in sections for key in section}
    others = any(base_of(options, method) not in SEARCHES for method in options.methods)
    if others and (narrowed := [flag(key) for key in NARROWING if key in given]):
        found.append(f"{', '.join(narrowed)} of the searches: what the other methods may find is not narrowed by it")
    return found + unread(options)


def unread(options: CompareOptions) -> list[str]:
    """What no run reads, a sentence each."""
    searches = [base_of(options, method) in SEARCHES for method in options.methods]
    taught = any(name.endswith("kd") for name in options.training)
    finetuned = any(name.startswith("finetune") for name in options.training)
    found = []
    if options.search and not any(searches):
        found.append("--search is not read: no method is a search")
    if options.prune and all(searches):
        found.append("--prune is not read: all methods are searches")
    if options.train and not options.training:
        found.append("--train is not read: nothing is trained")
    kd = [flag(f"train.{key}") for key in WITH_A_TEACHER if key in section(options.train, "train")]
    if kd and not taught:
        found.append(f"{', '.join(kd)} is not read: no --training has +kd")
    if options.finetune_lr_factor != CompareOptions.finetune_lr_factor and not finetuned:
        found.append("--finetune-lr-factor is not read: no --training is finetune")
    return found


def base_of(options: CompareOptions, method: str) -> str:
    """The method that a name stands for: itself, or the one of which it is a variant."""
    return (options.variants or {}).get(method, {}).get("method", method)


def stands_apart(options: CompareOptions, method: str) -> bool:
    """Whether what a method leaves is no smaller network, and is not to be compared with one."""
    return base_of(options, method) == "unstructured"


def goes_with(training: str, method: str) -> bool:
    """Whether a way of training has a meaning after a method: single weights set to zero leave the structure whole."""
    return method != "unstructured" or training.startswith("finetune")


def teacher_job(options: CompareOptions, seed: int) -> Job:
    """The training of the unpruned network: teacher, source of weights, and the accuracy to compare with."""
    path = Path(str(options.output), "teacher", f"seed{seed}")
    own = {"network": options.network, "pretrained": options.pretrained}
    own["epochs"] = options.teacher_epochs or options.epochs
    values = shared(options, path, seed) | for_trainer(options, taught=False) | own
    # Trained further from its library's weights, it is not from scratch.
    training = "pretrained" if options.pretrained else "scratch-e"
    return Job("teacher", path, checked("train", TrainOptions, values), seed, training=training)


def structure_job(options: CompareOptions, method: str, target: float, teacher: Job) -> Job:
    """The run that finds a network: a search, or a pruning."""
    path = Path(str(options.output), "structures", method, f"{target:g}", f"seed{teacher.seed}")
    values = shared(options, path, teacher.seed)
    values |= {"network": options.network, "flops_target": target, "tolerance": options.tolerance}
    base, varied = base_of(options, method), dict((options.variants or {}).get(method, {}))
    varied.pop("method", None)
    needs: tuple[Path, ...] = (teacher.path,)
    found: CommonOptions
    if base in SEARCHES:
        own = section(options.search, "search") | section(varied, "search", f"--variants {method}")
        if own.get("init") == "teacher":
            own["weights"] = str(teacher.path)
        else:
            needs = ()
        found = checked("search", SearchOptions, values | own | {"search": SEARCHES[base]}, method)
    else:
        own = section(options.prune, "prune") | section(varied, "prune", f"--variants {method}")
        own |= {"method": base, "weights": str(teacher.path)}
        found = checked("prune", PruneOptions, values | own, method)
    return Job("structure", path, found, teacher.seed, method, target, needs=needs)


def training_job(options: CompareOptions, structure: Job, training: str, teachers: Sequence[Job]) -> Job:
    """The training of a found network, of the seed of the first teacher, which is the source of weights too."""
    seed = structure.seed
    training = "scratch-e+kd" if training == "kd" else training
    start, _, kd = training.partition("+")
    path = Path(str(options.output), "trainings", structure.method, f"{structure.target:g}", training, f"seed{seed}")
    base = base_of(options, structure.method)
    values = shared(options, path, seed) | for_trainer(options, taught=bool(kd))
    own: dict[str, Any] = {"architecture": str(structure.path), "kd": bool(kd), "epochs": options.epochs}
    if start == "finetune":
        own |= {"init": "inherited", "lr": values["lr"] * options.finetune_lr_factor}
    elif start == "init":
        own["init"] = "inherited" if base in SEARCHES else "teacher"
    needs = [structure.path]
    if kd or own.get("init") == "teacher":
        asked = [teacher.path for teacher in (teachers if kd else teachers[:1])]
        own["teacher"] = list(map(str, asked))
        needs += asked
    if base == "unstructured":
        own["keep_zeros"] = True
    settled = checked("train", TrainOptions, values | own)
    return Job("training", path, settled, seed, structure.method, structure.target, training, tuple(needs))


def for_trainer(options: CompareOptions, taught: bool) -> dict[str, Any]:
    """The options given for every `tas train`; those for distillation only where a teacher teaches."""
    own = section(options.train, "train")
    return {key: value for key, value in own.items() if taught or key not in WITH_A_TEACHER}


def shared(options: CompareOptions, path: Path, seed: int) -> dict[str, Any]:
    """What all runs of a comparison take from it. Each has one device: several runs use several."""
    keys = ("data", "data_dir", "image_size", "train_images", "batch_size", "workers", "lr", "momentum", "weight_decay")
    own = {key: getattr(options, key) for key in (*keys, "accelerator", "precision")}
    return own | {"devices": "1", "seed": seed, "output": str(path)}


def section(given: Mapping[str, Any] | None, command: str, blamed: str | None = None) -> dict[str, Any]:
    """The options given for one command. TasError if one of them is none of it, or not theirs to choose."""
    own = {key.replace("-", "_"): value for key, value in (given or {}).items()}
    for key in own:
        if key in (*LEFT_TO_TAS_COMPARE[command], *LEFT_TO_EVERY_RUN, *LEFT_TO_THE_MACHINE):
            raise TasError(
                f"{blamed or f'--{command}'}: {key} is not to be given here; tas compare sets it for each run"
            )
    with blame(blamed or f"--{command}"):
        check_known(command, KINDS[command], own)
    return own


def checked(command: str, kind: type[Any], values: Mapping[str, Any], variant: str | None = None) -> Any:
    """The options of a command from values. TasError, naming the section, if one is wrong."""
    with blame(f"--{command}" + (f", for {variant}" if variant else "")):
        return from_values(command, kind, values)
