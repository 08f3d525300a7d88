"""`tas train`: from an architecture to a trained network, taught by others if asked for."""

import dataclasses
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from tas.architecture import Architecture
from tas.commands.teachers import find_teachers
from tas.commands.training import TrainingTask, train_network
from tas.config import PruneOptions, SearchOptions, TrainOptions, read_yaml
from tas.data.images import ImageData
from tas.data.opening import check_fit, data_of
from tas.errors import blame
from tas.networks import check_name
from tas.reading.original import open_original
from tas.runs.console import say
from tas.runs.run import Run, home_of, label, newest_search


def train(options: TrainOptions) -> Run:
    """Train, leave the results in the run's directory, print a summary; returns the finished run."""
    if options.network is not None:
        with blame("--network"):
            check_name(options.network)
    options = settle(options)
    assert options.data is not None and options.data_dir is not None
    data = data_of(options, options.data, options.data_dir)
    architecture = None if options.network is not None else chosen_architecture(options, data)
    name = options.network or (architecture.network if architecture else "")
    start = starting_weights(options)
    pl.seed_everything(options.seed, workers=True, verbose=False)  # a classifier may have to be made anew
    original = open_original(name, *start, data.num_classes, data.in_channels, data.image_size)
    run = Run.of(options, "train", label(name, options.data))
    run.check_free(options)  # before hours go into a teacher
    taught = options.kd or options.init == "teacher"
    teachers = find_teachers(options, original, data, start) if taught else ()
    job = TrainingTask(architecture or original.full, original, teachers, run, f"tas train --resume {run.path}")
    return train_network(options, job, data)


def settle(options: TrainOptions) -> TrainOptions:
    """The options with what they leave open filled in: the newest search's architecture, and its data set."""
    open_ends: dict[str, Any] = {"data": "digits", "data_dir": "data", "image_size": None, "train_images": None}
    if options.network is None:
        path = options.architecture or str(newest_search().path)
        if not options.architecture:
            say(f"architecture: that of the newest finished search, {path}")
        open_ends["architecture"] = path
        # Beside the architecture.json of a search stands the data set that it searched on; with another set named
        # on the command line, nothing of it fits.
        saved = saved_options(path)
        if options.data in (None, saved.get("data")):
            open_ends |= {key: saved[key] for key in open_ends if key in saved and key != "architecture"}
    return dataclasses.replace(
        options, **{key: value for key, value in open_ends.items() if getattr(options, key) is None}
    )


def saved_options(architecture: str) -> dict[str, Any]:
    """The options of the run that an architecture stands in; none if it stands in no run."""
    config = home_of(architecture).config
    if not config.is_file():
        return {}
    known = {field.name for kind in (SearchOptions, PruneOptions, TrainOptions) for field in dataclasses.fields(kind)}
    return read_yaml(str(config), config, known)


def chosen_architecture(options: TrainOptions, data: ImageData) -> Architecture:
    """The architecture to train. TasError if it does not fit the data set."""
    assert options.architecture is not None
    path = Path(options.architecture)
    file = Run(path).architecture if path.is_dir() else path
    architecture = Architecture.load(file)
    check_fit(f"--architecture {path}", architecture, str(options.data), data)
    return architecture


def starting_weights(options: TrainOptions) -> tuple[bool, str | None]:
    """--pretrained and --weights of the original network: given, or those with which its search started."""
    architecture, saved = options.architecture, dataclasses.asdict(options)
    # The architecture of a training run is that of the run which it names, and so on to the search.
    while architecture is not None:
        saved = saved_options(architecture)
        architecture = saved.get("architecture")
    return bool(saved.get("pretrained")), saved.get("weights")
