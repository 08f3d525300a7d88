"""`tas train`: from an architecture to a trained network, taught by the unpruned one if asked for."""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch import nn

from tas.architecture import Architecture
from tas.building import build
from tas.commands.shared import Original, data_of, open_original, say
from tas.config import SearchOptions, TrainOptions, read_yaml
from tas.cost import flops, parameters
from tas.cutting import cut
from tas.data import ImageData
from tas.errors import TasError, blame, gist
from tas.importance import sorted_by_importance
from tas.networks import check_name
from tas.progress import RunBar
from tas.report import change, percent, summary
from tas.runs import ROOT, Run, label, load, newest_search
from tas.teacher import Teacher, fast_in_bfloat16, predicts_alike
from tas.train import TrainModule
from tas.trainer import fit, interruptible, make_trainer

RECIPE = ("data", "image_size", "batch_size", "epochs", "lr", "momentum", "weight_decay", "seed")
"""The options that, with the network and the training images, make one teacher another."""


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
    teacher = None
    if options.kd or options.init == "teacher":
        teacher = find_teacher(options, original, data)
    job = Job(architecture or original.full, original, teacher, run, f"tas train --resume {run.path}")
    return train_network(options, job, data)


@dataclasses.dataclass(frozen=True)
class TrainedTeacher:
    """A trained network, and where it is from, in words."""

    network: nn.Module
    source: str


@dataclasses.dataclass(frozen=True)
class Job:
    """What one training trains."""

    architecture: Architecture
    original: Original
    """The unpruned network."""
    teacher: TrainedTeacher | None
    run: Run
    """Where the results go; gone on with if the options say so."""
    go_on: str
    """The command that goes on with this run after Ctrl-C."""


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


def home_of(architecture: str) -> Run:
    """The run that an architecture stands in; --architecture names the run or the file."""
    path = Path(architecture)
    return Run(path if path.is_dir() else path.parent)


def saved_options(architecture: str) -> dict[str, Any]:
    """The options of the run that an architecture stands in; none if it stands in no run."""
    config = home_of(architecture).config
    if not config.is_file():
        return {}
    known = {field.name for kind in (SearchOptions, TrainOptions) for field in dataclasses.fields(kind)}
    return read_yaml(str(config), config, known)


def chosen_architecture(options: TrainOptions, data: ImageData) -> Architecture:
    """The architecture to train. TasError if it does not fit the data set."""
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


def starting_weights(options: TrainOptions) -> tuple[bool, str | None]:
    """--pretrained and --weights of the original network: given, or those with which its search started."""
    architecture, saved = options.architecture, dataclasses.asdict(options)
    # The architecture of a training run is that of the run which it names, and so on to the search.
    while architecture is not None:
        saved = saved_options(architecture)
        architecture = saved.get("architecture")
    return bool(saved.get("pretrained")), saved.get("weights")


def find_teacher(options: TrainOptions, original: Original, data: ImageData) -> TrainedTeacher:
    """The trained original: of the run that --teacher names, or as given if its classifier fits, or trained now."""
    if options.teacher:
        return load_teacher(Run(options.teacher), options, data)
    if original.complete:
        say(f"teacher: {original.full.network} with {original.source}, as it is")
        return TrainedTeacher(original.network, original.source)
    return load_teacher(trained_teacher(options, original, data), options, data)


def trained_teacher(options: TrainOptions, original: Original, data: ImageData) -> Run:
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
    pretrained, weights = starting_weights(options)
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


def starting_network(options: TrainOptions, job: Job) -> nn.Module:
    """The network to train, with the weights that it starts from."""
    if options.network is not None:
        if job.original.trained:
            return copy.deepcopy(job.original.network)  # which may be the teacher, too
        return build(job.architecture)
    if options.init == "teacher":
        assert job.teacher is not None
        state = sorted_by_importance(job.teacher.network.state_dict(), job.original.plan)
        return cut(job.original.network, job.original.plan, job.architecture, state)
    if options.init == "inherited":
        return load(home_of(str(options.architecture)).path).train()
    return build(job.architecture)


def train_network(options: TrainOptions, job: Job, data: ImageData) -> Run:
    """One training from start to summary, with settled options."""
    architecture, run = job.architecture, job.run
    pl.seed_everything(options.seed, workers=True, verbose=False)
    network = starting_network(options, job)
    timer = Timer()
    trainer = make_trainer(options, run, len(data.train_dataloader()), [RunBar("train"), timer])
    teacher = job.teacher if options.kd else None
    module = TrainModule(
        network,
        architecture.num_classes,
        asked(teacher, data, trainer.strategy.root_device) if teacher else None,
        epochs=options.epochs,
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        kd_alpha=options.kd_alpha,
        kd_temperature=options.kd_temperature,
    )
    with interruptible(run, job.go_on), compiled(module, options.compile):
        fit(trainer, module, data, run, options)
        accuracies = trainer.test(module, data, verbose=False)[0]

    input_shape = (data.in_channels, data.image_size, data.image_size)
    full = job.original.network
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
    start = job.original.source if options.network else options.init
    rows = [
        ("network", f"{architecture.network} on {options.data}, {options.epochs} epochs"),
        ("architecture", options.architecture or "unpruned"),
        ("started from", {"teacher": "the teacher's weights", "inherited": "the weights beside it"}.get(start, start)),
        ("FLOPs", change(flops_full, flops_kept)),
        ("parameters", change(parameters(full), parameters(network))),
        ("test accuracy", percent(metrics["test_accuracy"])),
        ("teacher", f"{percent(metrics['teacher_accuracy'])}, {teacher.source}" if teacher else "none"),
        ("time", f"{metrics['seconds']:.0f} s"),
        ("weights", str(run.weights)),
        ("curves", "tensorboard --logdir runs"),
        ("next", f"python -c \"import tas; print(tas.load('{run.path}'))\""),
    ]
    if trainer.is_global_zero:
        print(summary("training finished", rows))
    return run


def asked(teacher: TrainedTeacher, data: ImageData, device: torch.device) -> Teacher:
    """A teacher as the training asks it, in the cheapest type of number that leaves its predictions unchanged."""
    network, dtype = teacher.network.to(device), None
    if fast_in_bfloat16(device):
        images, _ = next(iter(data.judging_batches(data.train_images())))  # as many training images as one batch has
        dtype = torch.bfloat16 if predicts_alike(network, images.to(device), torch.bfloat16) else None
    return Teacher(network, dtype)


@contextmanager
def compiled(module: TrainModule, wanted: bool) -> Iterator[None]:
    """Compile a training's networks, if wanted. TasError where the compiler fails."""
    if not wanted:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException  # takes seconds to import

    module.network.compile()
    if module.teacher is not None:
        module.teacher.network.compile()
    try:
        yield
    except TorchDynamoException as error:
        raise TasError(f"--compile: torch.compile cannot do this here ({gist(error)})") from None


def load_teacher(run: Run, options: TrainOptions, data: ImageData) -> TrainedTeacher:
    """The trained network of a run. TasError if it is not there or does not fit the data set."""
    with blame("--teacher"):
        teacher = load(run.path)
    check_fit(f"--teacher {run.path}", Architecture.load(run.architecture), options, data)
    return TrainedTeacher(teacher, str(run.path))
