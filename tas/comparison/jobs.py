"""The runs that a comparison is made of, each an ordinary command's options."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from tas.comparison.aims import UNPRUNED_AIM, Aim
from tas.comparison.methods import methods_of
from tas.comparison.ranking import AloneOptions, RankOptions
from tas.config import CompareOptions, PruneOptions, SearchOptions, TrainOptions
from tas.config.amount import Amount
from tas.config.files import with_recipe
from tas.config.groups import Distillation, Keeping, Rounding
from tas.config.methods import EVERY_MEASURE, Pruning
from tas.config.options import Options
from tas.config.parsing import check_known, from_values
from tas.errors import TasError, blame
from tas.runs.results import FoundResult
from tas.runs.run import Run

Values = dict[str, Any]
"""Flat name of an option -> its value."""


HALF = Aim.of({"flops": Amount(0.5)})
"""What is aimed at where only the options of a run are looked at."""


@dataclass(frozen=True)
class Job:
    """One run of a comparison."""

    kind: Literal["teacher", "structure", "training", "alone", "ranking"]
    """The unpruned network trained; a network found; a found network trained; random networks trained alone; a search's
    supernet held against them."""
    path: Path
    """The folder of the run."""
    options: Options
    """Of the command that runs it."""
    seed: int
    method: str = ""
    """Of all but a teacher."""
    aim: Aim = UNPRUNED_AIM
    training: str = ""
    """How a training trains, +kd included; of the unpruned network scratch-e or pretrained."""
    needs: tuple[Path, ...] = ()
    """Folders of the runs that have to be finished before; of a training and a ranking, that of the structure first."""

    @property
    def run(self) -> Run:
        """The run; the job is finished when this is."""
        return Run(self.path, go_on=True)

    @property
    def share(self) -> float:
        """What it aims at, of several the first, as a share of the unpruned network's; where that is a count, a time or
        a size, as its structure, which must be finished, tells it."""
        measure, amount = self.aim.amounts[0]
        if not amount.absolute:
            return amount.value
        found = FoundResult.read(self.run if self.kind == "structure" else Run(self.needs[0]))
        share: float | None = getattr(found, f"{measure}_target")
        assert share is not None
        return share

    @property
    def name(self) -> str:
        """What a user calls it."""
        if self.kind == "teacher":
            return f"unpruned network, seed {self.seed}"
        kinds = {"training": self.training, "alone": "random networks alone", "ranking": "ranking"}
        words = (self.method, self.aim.folder, *([kinds[self.kind]] if self.kind in kinds else []))
        return f"{' '.join(words)}, seed {self.seed}"


def list_jobs(options: CompareOptions) -> list[Job]:
    """All runs of a comparison, each after those it needs, a whole seed before the next.

    Raises:
        TasError: An option for the searches, prunings or trainings is not one, or has an impossible value.
    """
    if options.output is None:
        raise TasError("--output is missing; give the directory for the runs and the report")
    check_sections(options)
    jobs: list[Job] = []
    every = [teacher_job(options, seed) for seed in options.seeds]
    for place in range(len(every)):
        teachers = [*every[place:], *every[:place]][: options.teachers]  # its own first
        below = [
            job
            for aim in map(Aim.of, options.targets.aims())
            for method in options.methods
            if methods_of(options)[method].saves(aim.measures)
            for job in method_jobs(options, method, aim, teachers)
        ]
        needed = {path for job in below for path in job.needs}
        jobs += [teacher for teacher in teachers if teacher.path in needed and teacher not in jobs]
        jobs += below
    return with_rankings(options, jobs)


def check_sections(options: CompareOptions) -> None:
    """TasError if an option for one of the commands is not one, also where no run would take it."""
    teacher = teacher_job(options, options.seeds[0])
    known = methods_of(options)
    for method in ("tas", *(name for name, one in known.items() if one.varied)):
        structure_job(options, method, HALF, teacher)
    training_job(options, structure_job(options, "uniform", HALF, teacher), "kd", [teacher])


def method_jobs(options: CompareOptions, method: str, aim: Aim, teachers: Sequence[Job]) -> list[Job]:
    """A structure and its trainings, of one seed: that of the first teacher."""
    structure = structure_job(options, method, aim, teachers[0])
    trainings = [name for name in options.training if methods_of(options)[method].goes_with(name)]
    return [structure, *(training_job(options, structure, name, teachers) for name in trainings)]


def with_rankings(options: CompareOptions, jobs: Sequence[Job]) -> list[Job]:
    """The jobs, with a ranking after every search that is to be ranked; random networks are trained alone once for all
    searches that draw the same ones."""
    asked = options.ranking.ranked or options.methods
    alone: dict[AloneOptions, Job] = {}
    result: list[Job] = []
    for job in jobs:
        result.append(job)
        if options.ranking.rank and isinstance(job.options, SearchOptions) and job.method in asked:
            own = AloneOptions.of_search(job.options, options.ranking)
            if own not in alone:
                path = folder(options, "alone", own.draws(), job.aim, seed=job.seed)
                kept = replace(own, keeping=Keeping(seed=job.seed, output=str(path)))
                alone[own] = replace(job, kind="alone", path=path, options=kept, needs=())
                result.append(alone[own])
            result.append(ranking_job(options, job, alone[own]))
    return result


def ranking_job(options: CompareOptions, search: Job, alone: Job) -> Job:
    """The run that holds a search's supernet against networks that were trained alone."""
    assert isinstance(alone.options, AloneOptions)
    path = folder(options, "rankings", search.method, search.aim, seed=search.seed)
    asking = RankOptions(
        dataset=alone.options.dataset,
        recipe=alone.options.recipe,
        machine=alone.options.machine,
        keeping=Keeping(seed=search.seed, output=str(path)),
        search=str(search.path),
        alone=str(alone.path),
    )
    return replace(search, kind="ranking", path=path, options=asking, needs=(search.path, alone.path))


def folder(options: CompareOptions, kind: str, name: str, aim: Aim, *training: str, seed: int) -> Path:
    """Where a run goes that is of an aim; the name is the method's or, of random networks, that of their draws."""
    return Path(str(options.output), kind, name, aim.folder, *training, f"seed{seed}")


def teacher_job(options: CompareOptions, seed: int) -> Job:
    """The training of the unpruned network: teacher, source of weights, and the accuracy to compare with."""
    path = Path(str(options.output), "teacher", f"seed{seed}")
    epochs = options.teacher_epochs or options.recipe.epochs
    fixed = shared(options, path, seed) | asdict(options.source) | {"epochs": epochs, "init": "scratch"}
    # Trained further from given weights, it is not from scratch.
    training = "pretrained" if options.source.trained else "scratch-e"
    own = of_trainer(options, taught=False)
    return Job("teacher", path, made("train", TrainOptions, options, fixed, own), seed, training=training)


def structure_job(options: CompareOptions, method: str, aim: Aim, teacher: Job) -> Job:
    """The run that finds a network: a search, or a pruning."""
    path = folder(options, "structures", method, aim, seed=teacher.seed)
    own = methods_of(options)[method]
    target: Values = {f"{measure}_target": None for measure in EVERY_MEASURE} | {"tolerance": options.targets.tolerance}
    target |= {f"{measure}_target": amount.given for measure, amount in aim.amounts} | asdict(options.timing)
    fixed = shared(options, path, teacher.seed) | {"network": options.source.network} | target | dict(own.fixed)
    given = section(options.search if own.is_search else options.prune)
    varied = section(own.varied)
    needs: tuple[Path, ...] = (teacher.path,)
    found: Options
    if own.is_search:
        if (given | varied).get("init") == "teacher":
            fixed["weights"] = str(teacher.path)
        else:
            needs = ()
        found = made("search", SearchOptions, options, fixed, given, varied, method)
    else:
        fixed |= {"weights": str(teacher.path), "pretrained": False}
        # What other methods alone read is theirs.
        theirs = set(asdict(Pruning())) - set(own.reads) - set(own.fixed)
        given = {key: value for key, value in (searched_widths(options) | given).items() if key not in theirs}
        found = made("prune", PruneOptions, options, fixed, given, varied, method)
    return Job("structure", path, found, teacher.seed, method, aim, needs=needs)


def searched_widths(options: CompareOptions) -> Values:
    """What narrows the searches for the sake of the processor, and so what they are compared with: --round-to."""
    searches = any(methods_of(options)[method].is_search for method in options.methods)
    given = section(options.search) if searches else {}
    return {key: given[key] for key in asdict(Rounding()) if key in given}


def training_job(options: CompareOptions, structure: Job, training: str, teachers: Sequence[Job]) -> Job:
    """The training of a found network, of the seed of the first teacher, which is the source of weights too."""
    seed, own = structure.seed, methods_of(options)[structure.method]
    training = "scratch-e+kd" if training == "kd" else training
    start, _, kd = training.partition("+")
    path = folder(options, "trainings", structure.method, structure.aim, training, seed=seed)
    fixed = shared(options, path, seed)
    fixed |= {"architecture": str(structure.path), "kd": bool(kd), "epochs": options.recipe.epochs, "teacher": None}
    fixed |= {"network": None, "pretrained": False, "weights": None, "init": "scratch"}
    given = of_trainer(options, taught=bool(kd))
    if start == "finetune":
        lr = given.pop("lr", options.recipe.lr)
        fixed |= {"init": finetune_start(options, structure), "lr": lr * options.finetune_lr_factor}
    elif start == "init":
        fixed["init"] = "inherited" if own.is_search else "teacher"
    needs = [structure.path]
    if kd or fixed["init"] == "teacher":
        asked = [teacher.path for teacher in (teachers if kd else teachers[:1])]
        fixed["teacher"] = list(map(str, asked))
        needs += asked
    if own.leaves_zeros:
        fixed["keep_zeros"] = True
    settled = made("train", TrainOptions, options, fixed, given)
    return Job("training", path, settled, seed, structure.method, structure.aim, training, tuple(needs))


def finetune_start(options: CompareOptions, structure: Job) -> str:
    """What a found network is fine-tuned from, as `tas train --init` has it."""
    if not isinstance(structure.options, SearchOptions):
        return "inherited"
    begun = "supernet" if structure.options.source.trained and structure.options.init != "scratch" else "teacher"
    return {"supernet": "inherited", "teacher": "teacher"}[options.inherit or begun]


def of_trainer(options: CompareOptions, taught: bool) -> Values:
    """The options given for every `tas train`; those for distillation only where a teacher teaches."""
    with_teacher = set(asdict(Distillation())) - {"kd", "teacher"}
    return {key: value for key, value in section(options.train).items() if taught or key not in with_teacher}


def shared(options: CompareOptions, path: Path, seed: int) -> Values:
    """What every run of a comparison has from it, and nothing else may say."""
    keeping = Keeping(seed=seed, output=str(path))
    return asdict(options.dataset) | asdict(options.machine) | asdict(keeping)


def section(given: Mapping[str, Any] | None) -> Values:
    """The options given for one command, under their names."""
    return {key.replace("-", "_"): value for key, value in (given or {}).items()}


Made = TypeVar("Made", bound=Options)


def made(
    command: str,
    kind: type[Made],
    options: CompareOptions,
    fixed: Mapping[str, Any],
    given: Mapping[str, Any],
    varied: Mapping[str, Any] | None = None,
    method: str | None = None,
) -> Made:
    """The options of a run. TasError, naming the section, if one that was given is wrong, or not to be given.

    Args:
        command, kind: The command that carries it out, and its options.
        options: Of the comparison, whose recipe all runs share unless more is given for them.
        fixed: What the comparison says of the run.
        given: What is given for all runs of the command.
        varied: What a variant gives beside it.
        method: What finds the network, where the run does.
    """
    values = {key: value for key, value in asdict(options.recipe).items() if key != "epochs"}
    for own, blamed in ((given, f"--{command}"), (varied or {}, f"--variants {method}")):
        for key in own:
            if key in fixed:
                raise TasError(f"{blamed}: {key} is not to be given here; tas compare sets it for each run")
        with blame(blamed):
            check_known(command, kind, own)
        values |= with_recipe(blamed, own, command, kind.listed())
    with blame(f"--{command}" + (f", for {method}" if method else "")):
        return from_values(command, kind, values | dict(fixed))
