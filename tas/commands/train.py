"""`tas train`: from an architecture to a trained network, taught by others if asked for."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from tas.architecture import Architecture
from tas.commands.teachers import find_teachers
from tas.commands.training import TrainingTask, train_network
from tas.config import PruneOptions, SearchOptions, TrainOptions
from tas.config.files import read_yaml
from tas.config.groups import Dataset, Source
from tas.config.options import Options
from tas.cutting.cut import check_architecture
from tas.data.images import ImageData
from tas.data.opening import check_fit, open_dataset
from tas.errors import TasError, blame
from tas.networks import check_name
from tas.reading.original import original_for
from tas.runs.console import say, say_code
from tas.runs.run import Run, home_of, label, newest_search
from tas.training.losses import loss_for
from tas.training.threads import choose_threads


def train(options: TrainOptions, run: Run | None = None) -> Run:
    """Train, leave the results in the run's directory, print a summary; returns the finished run.

    Args:
        options: Those of the command.
        run: Where the results go; None takes what the options say.
    """
    if options.source.network is not None:
        with blame("--network"):
            check_name(options.source.network)
    loss_for(options.recipe, options.distillation if options.distillation.kd else None)  # before hours pass
    options = settle(options)
    seed = options.keeping.seed
    data = open_dataset(options.dataset, options.recipe, options.machine, seed)
    architecture = None if options.architecture is None else chosen_architecture(options, data)
    source = options.source if architecture is None else source_of(options, architecture)
    blamed = "--network" if architecture is None else f"--architecture {file_of(str(options.architecture))}"
    pl.seed_everything(seed, workers=True, verbose=False)  # a classifier may have to be made anew
    original = original_for(data, source, blamed)
    choose_threads(original.plan, original.full, options.recipe.batch_size)
    if architecture is not None:
        with blame(blamed):
            check_architecture(original.plan, architecture)
    run = run or Run.of(options.keeping, "train", label(source.name, str(options.dataset.data)), options)
    run.check_free()  # before hours go into a teacher
    taught = options.distillation.kd or options.init == "teacher"
    teachers = find_teachers(as_begun(options, run), original, data, source) if taught else ()
    task = TrainingTask(architecture or original.full, original, teachers, run, f"tas train --resume {run.path}")
    return train_network(options, task, data)


def as_begun(options: TrainOptions, run: Run) -> TrainOptions:
    """The options as the run was begun with them: one that goes on on another machine keeps its teachers."""
    if not (run.go_on and run.config.is_file()):
        return options
    saved = read_yaml(str(run.config), run.config)
    return options.changed(**{name: saved[name] for name in asdict(options.machine) if name in saved})


def settle(options: TrainOptions) -> TrainOptions:
    """The options with what they leave open filled in: the newest search's architecture, and its data set."""
    settled = Dataset()
    if options.source.network is None:
        path = options.architecture or str(newest_search().path)
        if not options.architecture:
            say(f"architecture: that of the newest finished search, {path}")
        options = replace(options, architecture=path)
        # Beside the architecture.json of a search stands the data set that it searched on; with another set named
        # on the command line, nothing of it fits.
        saved = saved_options(path)
        if options.dataset.data in (None, saved.get("data")):
            found = {name: saved[name] for name in asdict(settled) if saved.get(name) is not None}
            settled = replace(settled, **found)
        if options.init is None and worth_inheriting(saved):
            options = replace(options, init="inherited")
    options = replace(options, init=options.init or "scratch")
    given = {name: value for name, value in asdict(options.dataset).items() if value is not None}
    return replace(options, dataset=replace(settled, **given))


def worth_inheriting(saved: Mapping[str, Any]) -> bool:
    """Whether a run with these options left weights that are a better start than fresh ones: of a search or a pruning
    that started from trained weights, or of a supernet whose networks learned as what they are."""
    given = bool(saved.get("pretrained")) or saved.get("weights") is not None
    from_trained = given and saved.get("init") != "scratch" and ("held_out" in saved or "method" in saved)
    return from_trained or saved.get("strategy") == "sandwich"


def saved_options(architecture: str) -> dict[str, Any]:
    """The options of the run that an architecture stands in, by name; none if it stands in no run."""
    config = home_of(architecture).config
    return read_yaml(str(config), config) if config.is_file() else {}


def chosen_architecture(options: TrainOptions, data: ImageData) -> Architecture:
    """The architecture to train. TasError if it does not fit the data set."""
    assert options.architecture is not None
    file = file_of(options.architecture)
    run = Run(file.parent)
    if not file.exists() and run.config.is_file():
        known: dict[str, type[Options]] = {"search": SearchOptions, "prune": PruneOptions, "train": TrainOptions}
        saved = set(read_yaml(str(run.config), run.config))
        commands = [name for name, kind in known.items() if saved <= set(kind.listed())]
        raise TasError(
            f"--architecture {options.architecture}: that run is not finished; go on with "
            f"tas {commands[0] if commands else 'search'} --resume {run.path}"
        )
    architecture = Architecture.load(file)
    check_fit(f"--architecture {options.architecture}", architecture, str(options.dataset.data), data)
    say_code(architecture.network, file)
    return architecture


def file_of(architecture: str) -> Path:
    """The file of an architecture; --architecture names it or its run."""
    path = Path(architecture)
    return Run(path).architecture if path.is_dir() else path


def source_of(options: TrainOptions, architecture: Architecture) -> Source:
    """The original network of an architecture, with the weights with which its search started."""
    place = options.architecture
    saved: dict[str, Any] = {}
    # The architecture of a training run is that of the run which it names, and so on to the search.
    while place is not None:
        saved = saved_options(place)
        place = saved.get("architecture")
    pretrained, weights = bool(saved.get("pretrained")), saved.get("weights")
    return Source(network=architecture.network, pretrained=pretrained, weights=weights)
