"""`tas train`: from an architecture to a trained network, taught by the unpruned one if asked for."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from torch import nn

from tas.architecture import Architecture, build
from tas.commands.shared import data_of, say
from tas.config import SearchOptions, TrainOptions, read_yaml
from tas.cost import flops, parameters
from tas.data import ImageData
from tas.errors import TasError, blame
from tas.networks import network_spec
from tas.progress import RunBar
from tas.report import change, percent, summary
from tas.runs import ROOT, Run, load, newest_search
from tas.train import TrainModule
from tas.trainer import fit, interruptible, make_trainer

RECIPE = ("data", "image_size", "batch_size", "epochs", "lr", "momentum", "weight_decay", "seed")
"""The options that, with the network and the training images, make one teacher another."""


def train(options: TrainOptions) -> Run:
    """Train, leave the results in the run's directory, print a summary; returns the finished run."""
    if options.network is not None:
        with blame("--network"):
            network_spec(options.network)
    options = settle(options)
    assert options.data is not None and options.data_dir is not None
    data = data_of(options, options.data, options.data_dir)
    architecture = chosen_architecture(options, data)
    run = Run.of(options, "train", f"{architecture.network}-{options.data}")
    run.check_free(options)  # before hours go into a teacher
    teacher_run = None
    if options.kd:
        teacher_run = Run(options.teacher) if options.teacher else trained_teacher(options, architecture, data)
    return train_network(options, architecture, data, run, teacher_run, f"tas train --resume {run.path}")


def settle(options: TrainOptions) -> TrainOptions:
    """The options with what they leave open filled in: the newest search's architecture, and its data set."""
    open_ends: dict[str, Any] = {"data": "digits", "data_dir": "data", "image_size": None}
    if options.network is None:
        path = Path(options.architecture) if options.architecture else newest_search().path
        if not options.architecture:
            say(f"architecture: that of the newest finished search, {path}")
        open_ends["architecture"] = str(path)
        config = Run(path if path.is_dir() else path.parent).config
        # Beside the architecture.json of a search stands the data set that it searched on; with another set named
        # on the command line, nothing of it fits.
        if config.is_file():
            known = {field.name for kind in (SearchOptions, TrainOptions) for field in dataclasses.fields(kind)}
            saved = read_yaml(str(config), config, known)
            if options.data in (None, saved.get("data")):
                open_ends |= {key: saved[key] for key in ("data", "data_dir", "image_size") if key in saved}
    return dataclasses.replace(
        options, **{key: value for key, value in open_ends.items() if getattr(options, key) is None}
    )


def chosen_architecture(options: TrainOptions, data: ImageData) -> Architecture:
    """The architecture to train. TasError if it does not fit the data set."""
    if options.network is not None:
        return Architecture.full(options.network, data.num_classes, data.in_channels)
    assert options.architecture is not None
    path = Path(options.architecture)
    file = Run(path).architecture if path.is_dir() else path
    architecture = Architecture.load(file)
    check_fit(f"--architecture {path}", architecture, options, data)
    return architecture


def check_fit(what: str, architecture: Architecture, options: TrainOptions, data: ImageData) -> None:
    """TasError unless a network takes the images of a data set and tells its classes apart."""
    for key, name in (("num_classes", "classes"), ("in_channels", "image channels")):
        has, needs = getattr(architecture, key), getattr(data, key)
        if has != needs:
            raise TasError(f"{what}: is for {has} {name}; --data {options.data} has {needs}")


def trained_teacher(options: TrainOptions, architecture: Architecture, data: ImageData) -> Run:
    """The unpruned network trained on this data set with these options: found if that was done before, else trained."""
    recipe = {key: getattr(options, key) for key in RECIPE}
    recipe |= {"network": architecture.network, "images": data.fingerprint()}
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:10]
    run = Run(ROOT / "teachers" / f"{architecture.network}-{options.data}-{key}")
    if run.finished():
        say(f"teacher: {architecture.network} as trained before, {run.path}")
        return run
    say(f"teacher: training {architecture.network} once for this data set and these options, {run.path}")
    own = dataclasses.replace(
        options, network=architecture.network, architecture=None, kd=False, output=None, resume=str(run.path)
    )
    full = Architecture.full(architecture.network, architecture.num_classes, architecture.in_channels)
    return train_network(own, full, data, run, None, "the same command (the teacher is trained first)")


def train_network(
    options: TrainOptions, architecture: Architecture, data: ImageData, run: Run, teacher_run: Run | None, go_on: str
) -> Run:
    """One training from start to summary.

    Args:
        options: Settled options.
        architecture: What to train.
        data: The images, set up.
        run: Where the results go; gone on with if `options.resume` says so.
        teacher_run: The finished run whose network teaches; None trains without a teacher.
        go_on: The command that goes on with this run after Ctrl-C.
    """
    pl.seed_everything(options.seed, workers=True, verbose=False)
    network = build(architecture)
    teacher = None
    if teacher_run is not None:
        teacher = load_teacher(teacher_run, options, data)
    module = TrainModule(
        network,
        architecture.num_classes,
        teacher,
        epochs=options.epochs,
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        kd_alpha=options.kd_alpha,
        kd_temperature=options.kd_temperature,
    )
    timer = Timer()
    trainer = make_trainer(options, run, len(data.train_dataloader()), [RunBar("train"), timer])
    with interruptible(run, go_on):
        fit(trainer, module, data, run, options)
        accuracies = trainer.test(module, data, verbose=False)[0]

    input_shape = (data.in_channels, data.image_size, data.image_size)
    full = build(Architecture.full(architecture.network, architecture.num_classes, architecture.in_channels))
    flops_full, flops_kept = flops(full, input_shape), flops(network, input_shape)
    metrics = {
        "test_accuracy": accuracies["test_accuracy"],
        "teacher_accuracy": accuracies.get("teacher_accuracy"),
        "kd": teacher is not None,
        "flops": flops_kept,
        "flops_full": flops_full,
        "flops_ratio": flops_kept / flops_full,
        "params": parameters(network),
        "epochs": options.epochs,
        "seconds": timer.time_elapsed("train"),
        "seed": options.seed,
    }
    run.finish(architecture, metrics, network)
    trainer.strategy.barrier()  # other processes may read the run next: a teacher's
    rows = [
        ("network", f"{architecture.network} on {options.data}, {options.epochs} epochs"),
        ("architecture", options.architecture or "unpruned"),
        ("FLOPs", change(flops_full, flops_kept)),
        ("parameters", change(parameters(full), parameters(network))),
        ("test accuracy", percent(metrics["test_accuracy"])),
        ("teacher", f"{percent(metrics['teacher_accuracy'])}, {teacher_run.path}" if teacher_run else "none"),
        ("time", f"{metrics['seconds']:.0f} s"),
        ("weights", str(run.weights)),
        ("curves", "tensorboard --logdir runs"),
        ("next", f"python -c \"import tas; print(tas.load('{run.path}'))\""),
    ]
    if trainer.is_global_zero:
        print(summary("training finished", rows))
    return run


def load_teacher(run: Run, options: TrainOptions, data: ImageData) -> nn.Module:
    """The trained network of a run. TasError if it is not there or does not fit the data set."""
    with blame("--teacher"):
        teacher = load(run.path)
    check_fit(f"--teacher {run.path}", Architecture.load(run.architecture), options, data)
    return teacher
