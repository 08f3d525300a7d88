"""The teachers of a training: given, or trained first unless that was done before."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from tas.architecture import Architecture
from tas.commands.training import TrainedTeacher, TrainingTask, train_network
from tas.config import TrainOptions
from tas.config.groups import Keeping, Source, whole
from tas.data.description import read_description
from tas.data.images import ImageData
from tas.data.opening import check_fit
from tas.errors import TasError, blame
from tas.networks import open_network
from tas.networks.weights import load_weights
from tas.reading.original import Original
from tas.reading.plan import Plan
from tas.reading.readers import read_plan
from tas.runs.console import say
from tas.runs.load import load
from tas.runs.results import TrainResult
from tas.runs.run import ROOT, Run, label
from tas.training.losses import takes_teacher_logits


def find_teachers(
    options: TrainOptions, original: Original, data: ImageData, source: Source
) -> tuple[TrainedTeacher, ...]:
    """Those that --teacher names; else the original, as given if its classifier fits, or trained now.

    Args:
        options: Of the training that is to be taught.
        original: The unpruned network.
        data: The data set.
        source: Where the original is from.
    """
    wanted, given = options.distillation.feature_flags, options.distillation.teacher
    if wanted and not original.plan.stages:  # before hours go into a teacher
        raise TasError(f"{wanted}: {original.full.network} has no stages, chains of blocks, to compare")
    if given:
        runs = {path: Run(path) for path in given if not Path(path).is_file()}
        teachers = tuple(
            load_teacher(runs[path], original, options, data) if path in runs else teacher_in_file(path, original)
            for path in given
        )
        if options.init == "teacher":
            check_unpruned(given[0], teachers[0].architecture, original.full)
        return teachers
    if original.complete:
        say(f"teacher: {original.full.network} with {original.source}, as it is")
        return (TrainedTeacher(original.network, original.full, original.plan, original.source),)
    return (load_teacher(trained_teacher(options, original, data, source), original, options, data),)


def trained_teacher(options: TrainOptions, original: Original, data: ImageData, source: Source) -> Run:
    """The unpruned network trained on this data set with these options: found if that was done before, else trained."""
    taught = takes_teacher_logits(options.recipe)
    own = TrainOptions(
        source=source,
        dataset=options.dataset,
        recipe=replace(options.recipe, loss=None) if taught else options.recipe,
        machine=options.machine,
        keeping=Keeping(seed=options.keeping.seed),
        init="scratch",
        compile=options.compile,
    )
    name, data_name = original.full.network, str(options.dataset.data)
    run = Run(ROOT / "teachers" / f"{label(name, data_name)}-{key_of(own, original, data)}", go_on=True)
    if run.finished():
        say(f"teacher: {name} as trained before, {run.path}")
        return run
    say(f"teacher: training {name} once for this data set and these options, {run.path}")
    task = TrainingTask(original.full, original, (), run, "the same command (the teacher is trained first)")
    return train_network(own, task, data)


def key_of(options: TrainOptions, original: Original, data: ImageData) -> str:
    """What tells a teacher from others: all that changes its weights, the images and the starting weights included."""
    recipe = whole(options.recipe) | whole(options.dataset) | whole(options.machine)
    del recipe["train_images"]  # the images themselves say it
    for later in ("loss", "sync_batchnorm"):  # as teachers were called before there was a choice
        if not recipe[later]:
            del recipe[later]
    if data.statistics != type(data).statistics:  # those of the weights
        recipe["statistics"] = [*data.statistics.mean, *data.statistics.deviation]
    recipe |= {"seed": options.keeping.seed, "compile": options.compile}
    recipe |= {"network": original.full.network, "images": data.fingerprint()}
    if original.trained:
        recipe["weights"] = digest(original.network)
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:10]


def digest(network: nn.Module) -> str:
    """A digest of the trained weights that a network starts from; those of a fresh classifier follow from the seed."""
    total = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        total.update(name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def load_teacher(run: Run, original: Original, options: TrainOptions, data: ImageData) -> TrainedTeacher:
    """The trained network of a run. TasError if it is not there, is not trained, or does not fit the data set."""
    with blame("--teacher"):
        teacher = load(run.path)
        doubts = tuple(TrainResult.read(run).doubts())
    architecture = Architecture.load(run.architecture)
    check_fit(f"--teacher {run.path}", architecture, str(options.dataset.data), data)
    check_images(run, data)
    return TrainedTeacher(teacher, architecture, plan_of(architecture, original), str(run.path), doubts)


def check_images(run: Run, data: ImageData) -> None:
    """TasError if a teacher was trained on images normalised otherwise than the student's, or on classes of other
    names, as far as both have names."""
    if not run.images.is_file():  # as runs were left before there was one
        return
    images, wanted = read_description(run.images), data.described()
    if any(images[key] != wanted[key] for key in ("mean", "deviation")):
        raise TasError(
            f"--teacher {run.path}: was trained on images normalised by mean {images['mean']} and deviation "
            f"{images['deviation']}, the student's are by {wanted['mean']} and {wanted['deviation']}"
        )
    odd = sorted(set(images["classes"]) ^ set(data.classes)) if images["classes"] and data.classes else []
    if odd:
        differ = ", ".join(odd[:4]) + (", ..." if len(odd) > 4 else "")
        raise TasError(
            f"--teacher {run.path}: was trained on other classes; they and those of --data differ in {differ}"
        )


def teacher_in_file(path: str, original: Original) -> TrainedTeacher:
    """The unpruned network with trained weights from a file, of any programme. TasError if they do not fit it."""
    full = original.full
    network = open_network(full.network, full.num_classes, full.in_channels)
    with blame(f"--teacher {path}"):
        complete, words = load_weights(network, path)
        if not complete:
            raise TasError(f"it tells other classes apart than the {full.num_classes} of these images")
    return TrainedTeacher(network, full, original.plan, words)


def plan_of(architecture: Architecture, original: Original) -> Plan:
    """The plan of the unpruned network that an architecture is of: that of the original, or read anew."""
    a = architecture
    if a.network == original.full.network:
        return original.plan
    network = open_network(a.network, a.num_classes, a.in_channels)
    return read_plan(network, (a.in_channels, a.image_size, a.image_size), a.network)


def check_unpruned(path: str, teacher: Architecture, full: Architecture) -> None:
    """TasError unless a teacher is the unpruned network, channels of which a student can start with."""
    if (teacher.network, teacher.widths, teacher.depths) != (full.network, full.widths, full.depths):
        raise TasError(
            f"--init teacher: takes the weights of the first --teacher, which must be the unpruned {full.network}; "
            f"{path} is {'a pruned' if teacher.network == full.network else 'a'} {teacher.network}"
        )
