"""The teachers of a training: given, or trained first unless that was done before."""

import dataclasses
import hashlib
import json

from torch import nn

from tas.architecture import Architecture
from tas.commands.training import TrainedTeacher, TrainingTask, feature_flags, train_network
from tas.config import TrainOptions
from tas.data.images import ImageData
from tas.data.opening import check_fit
from tas.errors import TasError, blame
from tas.networks import open_network
from tas.reading.original import Original
from tas.reading.plan import Plan
from tas.reading.readers import read_plan
from tas.runs.console import say
from tas.runs.load import load
from tas.runs.run import ROOT, Run, label

RECIPE = ("data", "image_size", "batch_size", "epochs", "lr", "momentum", "weight_decay", "seed")
"""The options that, with the network and the training images, make one teacher another."""


def find_teachers(
    options: TrainOptions, original: Original, data: ImageData, start: tuple[bool, str | None]
) -> tuple[TrainedTeacher, ...]:
    """Those of the runs that --teacher names; else the original, as given if its classifier fits, or trained now.

    Args:
        options: Of the training that is to be taught.
        original: The unpruned network.
        data: The data set.
        start: --pretrained and --weights of the original.
    """
    if feature_flags(options) and not original.plan.stages:  # before hours go into a teacher
        raise TasError(f"{feature_flags(options)}: {original.full.network} has no stages, chains of blocks, to compare")
    if options.teacher:
        teachers = tuple(load_teacher(Run(path), original, options, data) for path in options.teacher)
        if options.init == "teacher":
            check_unpruned(options.teacher[0], teachers[0].architecture, original.full)
        return teachers
    if original.complete:
        say(f"teacher: {original.full.network} with {original.source}, as it is")
        return (TrainedTeacher(original.network, original.full, original.plan, original.source),)
    return (load_teacher(trained_teacher(options, original, data, start), original, options, data),)


def trained_teacher(options: TrainOptions, original: Original, data: ImageData, start: tuple[bool, str | None]) -> Run:
    """The unpruned network trained on this data set with these options: found if that was done before, else trained."""
    name = original.full.network
    recipe = {key: getattr(options, key) for key in RECIPE}
    recipe |= {"network": name, "images": data.fingerprint()}
    if original.trained:
        recipe["weights"] = digest(original.network)
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:10]
    run = Run(ROOT / "teachers" / f"{label(name, str(options.data))}-{key}")
    if run.finished():
        say(f"teacher: {name} as trained before, {run.path}")
        return run
    say(f"teacher: training {name} once for this data set and these options, {run.path}")
    pretrained, weights = start
    own = dataclasses.replace(
        options,
        network=name,
        architecture=None,
        pretrained=pretrained,
        weights=weights,
        init="scratch",
        kd=False,
        teacher=(),
        attention_transfer=0.0,
        hints=0.0,
        keep_zeros=False,
        output=None,
        resume=str(run.path),
    )
    job = TrainingTask(original.full, original, (), run, "the same command (the teacher is trained first)")
    return train_network(own, job, data)


def digest(network: nn.Module) -> str:
    """A digest of the trained weights that a network starts from; those of a fresh classifier follow from the seed."""
    total = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        total.update(name.encode() + tensor.double().sum().cpu().numpy().tobytes())
    return total.hexdigest()


def load_teacher(run: Run, original: Original, options: TrainOptions, data: ImageData) -> TrainedTeacher:
    """The trained network of a run. TasError if it is not there, is not trained, or does not fit the data set."""
    with blame("--teacher"):
        teacher = load(run.path)
        if '"test_accuracy"' not in run.metrics.read_text(encoding="utf-8"):
            raise TasError(f"{run.path}: not a finished training run, but what a search or pruning left")
    architecture = Architecture.load(run.architecture)
    check_fit(f"--teacher {run.path}", architecture, str(options.data), data)
    return TrainedTeacher(teacher, architecture, plan_of(architecture, original, data.image_size), str(run.path))


def plan_of(architecture: Architecture, original: Original, image_size: int) -> Plan:
    """The plan of the unpruned network that an architecture is of: that of the original, or read anew."""
    a, size = architecture, architecture.image_size or image_size
    if a.network == original.full.network:
        return original.plan
    return read_plan(open_network(a.network, a.num_classes, a.in_channels), (a.in_channels, size, size), a.network)


def check_unpruned(path: str, teacher: Architecture, full: Architecture) -> None:
    """TasError unless a teacher is the unpruned network, channels of which a student can start with."""
    if (teacher.network, teacher.widths, teacher.depths) != (full.network, full.widths, full.depths):
        raise TasError(
            f"--init teacher: takes the weights of the first --teacher, which must be the unpruned {full.network}; "
            f"{path} is {'a pruned' if teacher.network == full.network else 'a'} {teacher.network}"
        )
