"""One training, from the network that it starts with to its summary."""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch import nn

from tas.architecture import Architecture
from tas.building import build
from tas.commands.shared import Original, home_of
from tas.config import TrainOptions
from tas.cost import flops, parameters
from tas.cutting import cut
from tas.data import ImageData
from tas.errors import TasError, gist
from tas.importance import sorted_by_importance
from tas.progress import RunBar
from tas.report import change, percent, summary
from tas.runs import Run, load
from tas.teacher import Teacher, fast_in_bfloat16, predicts_alike
from tas.train import TrainModule
from tas.trainer import fit, interruptible, make_trainer


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
