"""What a comparison says before anything runs: what was asked for and has no meaning, or less than it seems."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from tas.comparison.aims import WORDS
from tas.comparison.jobs import Job, searched_widths, section
from tas.comparison.methods import ComparedMethod, methods_of
from tas.config import CompareOptions
from tas.config.checks import flag
from tas.config.groups import Distillation, Space
from tas.config.methods import Pruning


def remarks(options: CompareOptions, jobs: Sequence[Job]) -> list[str]:
    """What was asked for and has no meaning, or less than it seems, in sentences.

    Args:
        options: What was asked for.
        jobs: The runs that come of it.
    """
    known = methods_of(options)
    asked = {method: known[method] for method in options.methods}
    found = [
        f"{method} is not trained {name}: what is left of its weights has no smaller structure; ask for finetune"
        for method, own in asked.items()
        for name in options.training
        if not own.goes_with(name)
    ]
    found += [
        f"{method} is not run for {flag(measure)}-targets: it leaves all {WORDS[measure]} in place"
        for method, own in asked.items()
        for measure in options.targets.amounts()
        if not own.saves([measure])
    ]
    given = {key for part in (options.search, *(own.varied for own in asked.values())) for key in section(part)}
    others = any(not own.is_search for own in asked.values())
    apart = [key for key in asdict(Space()) if key in given and key not in searched_widths(options)]
    if others and (narrowed := [flag(key) for key in apart]):
        found.append(f"{', '.join(narrowed)} of the searches: what the other methods may find is not narrowed by it")
    return found + unread(options, asked, {job.kind for job in jobs})


def unread(options: CompareOptions, asked: Mapping[str, ComparedMethod], kinds: Collection[str]) -> list[str]:
    """What no run reads, a sentence each.

    Args:
        options: What was asked for.
        asked: Its methods.
        kinds: Those of its runs.
    """
    searches = [own.is_search for own in asked.values()]
    taught = any(name.endswith("kd") for name in options.training)
    finetuned = any(name.startswith("finetune") for name in options.training)
    found = []
    if options.search and not any(searches):
        found.append("--search is not read: no method is a search")
    if options.prune and all(searches):
        found.append("--prune is not read: all methods are searches")
    of_methods = [key for key in section(options.prune) if key in asdict(Pruning())]
    lonely = [flag(f"prune.{key}") for key in of_methods if not any(key in own.reads for own in asked.values())]
    if lonely and not all(searches):
        found.append(f"{', '.join(lonely)} is not read: it goes with other methods")
    if options.train and not {"teacher", "training"}.intersection(kinds):
        found.append("--train is not read: nothing is trained")
    kd = [flag(f"train.{key}") for key in section(options.train) if key in asdict(Distillation())]
    if kd and not taught:
        found.append(f"{', '.join(kd)} is not read: no --training has +kd")
    if options.finetune_lr_factor != CompareOptions.finetune_lr_factor and not finetuned:
        found.append("--finetune-lr-factor is not read: no --training is finetune")
    if options.ranking.rank and "ranking" not in kinds:
        found.append("--rank is not read: no method is a search that is --ranked")
    if options.source.trained and "teacher" not in kinds:
        found.append("--pretrained and --weights are not read: no run needs the unpruned network")
    return found
