"""The teachers of a training: given, or trained first unless that was done before."""

import dataclasses
import hashlib
import json

from torch import nn

from tas.architecture import Architecture
from tas.commands.shared import Original, check_fit, say
from tas.commands.training import Job, TrainedTeacher, train_network
from tas.config import TrainOptions
from tas.data import ImageData
from tas.errors import blame
from tas.runs import ROOT, Run, label, load

RECIPE = ("data", "image_size", "batch_size", "epochs", "lr", "momentum", "weight_decay", "seed")
"""The options that, with the network and the training images, make one teacher another."""


def find_teacher(
    options: TrainOptions, original: Original, data: ImageData, start: tuple[bool, str | None]
) -> TrainedTeacher:
    """The trained original: of the run that --teacher names, or as given if its classifier fits, or trained now.

    Args:
        options: Of the training that is to be taught.
        original: The unpruned network.
        data: The data set.
        start: --pretrained and --weights of the original.
    """
    if options.teacher:
        return load_teacher(Run(options.teacher), options, data)
    if original.complete:
        say(f"teacher: {original.full.network} with {original.source}, as it is")
        return TrainedTeacher(original.network, original.source)
    return load_teacher(trained_teacher(options, original, data, start), options, data)


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
        teacher=None,
        output=None,
        resume=str(run.path),
    )
    job = Job(original.full, original, None, run, "the same command (the teacher is trained first)")
    return train_network(own, job, data)


def digest(network: nn.Module) -> str:
    """A digest of the trained weights that a network starts from; those of a fresh classifier follow from the seed."""
    total = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        total.update(name.encode() + tensor.double().sum().cpu().numpy().tobytes())
    return total.hexdigest()


def load_teacher(run: Run, options: TrainOptions, data: ImageData) -> TrainedTeacher:
    """The trained network of a run. TasError if it is not there or does not fit the data set."""
    with blame("--teacher"):
        teacher = load(run.path)
    check_fit(f"--teacher {run.path}", Architecture.load(run.architecture), str(options.data), data)
    return TrainedTeacher(teacher, str(run.path))
