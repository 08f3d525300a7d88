"""One training, from the network that it starts with to its summary."""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch import nn

from tas.architecture import Architecture
from tas.config import TrainOptions, flag
from tas.cost.count import flops, nonzero_flops, parameters
from tas.cutting.build import build
from tas.cutting.cut import cut
from tas.cutting.importance import sorted_by_importance
from tas.data.images import ImageData
from tas.distillation.features import FeatureDistillation, Staged, stage_ends
from tas.distillation.teachers import Teacher, Teachers, fast_in_bfloat16, predicts_alike
from tas.errors import TasError, blame, gist
from tas.reading.original import Original
from tas.reading.plan import Plan
from tas.runs.load import load
from tas.runs.run import Run, home_of
from tas.runs.summary import change, percent, summary
from tas.training.interrupts import interruptible
from tas.training.kept_zeros import zeros_kept
from tas.training.module import TrainModule
from tas.training.progress import RunBar
from tas.training.trainer import fit, make_trainer


@dataclasses.dataclass(frozen=True)
class TrainedTeacher:
    """A trained network that teaches."""

    network: nn.Module
    architecture: Architecture
    plan: Plan
    """Of the unpruned network that it was cut from."""
    source: str
    """Where it is from, in words."""


@dataclasses.dataclass(frozen=True)
class TrainingTask:
    """What one training trains."""

    architecture: Architecture
    original: Original
    """The unpruned network."""
    teachers: tuple[TrainedTeacher, ...]
    run: Run
    """Where the results go; gone on with if the options say so."""
    go_on: str
    """The command that goes on with this run after Ctrl-C."""


def starting_network(options: TrainOptions, job: TrainingTask) -> nn.Module:
    """The network to train, with the weights that it starts from."""
    if options.network is not None:
        if job.original.trained:
            return copy.deepcopy(job.original.network)  # which may be the teacher, too
        return build(job.architecture)
    if options.init == "teacher":
        state = sorted_by_importance(job.teachers[0].network.state_dict(), job.original.plan)
        return cut(job.original.network, job.original.plan, job.architecture, state)
    if options.init == "inherited":
        return load(home_of(str(options.architecture)).path).train()
    return build(job.architecture)


def train_network(options: TrainOptions, job: TrainingTask, data: ImageData) -> Run:
    """One training from start to summary, with settled options."""
    architecture, run = job.architecture, job.run
    pl.seed_everything(options.seed, workers=True, verbose=False)
    network = starting_network(options, job)
    timer = Timer()
    trainer = make_trainer(options, run, len(data.train_dataloader()), [RunBar("train"), timer])
    teachers = job.teachers if options.kd else ()
    input_shape = (data.in_channels, data.image_size, data.image_size)
    module = TrainModule(
        network,
        architecture.num_classes,
        asked(teachers, data, trainer.strategy.root_device) if teachers else None,
        feature_distillation(options, network, job, input_shape),
        epochs=options.epochs,
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        kd_alpha=options.kd_alpha,
        kd_temperature=options.kd_temperature,
    )
    with sparse(network, options.keep_zeros), interruptible(run, job.go_on), compiled(module, options.compile):
        fit(trainer, module, data, run, options)
        accuracies = trainer.test(module, data, verbose=False)[0]

    full = job.original.network
    flops_full, flops_kept = flops(full, input_shape), flops(network, input_shape)
    metrics = {
        "test_accuracy": accuracies["test_accuracy"],
        "teacher_accuracy": accuracies.get("teacher_accuracy"),
        "kd": options.kd,
        "flops": flops_kept,
        "flops_full": flops_full,
        "flops_ratio": flops_kept / flops_full,
        "params": parameters(network),
        "epochs": options.epochs,
        "seconds": timer.time_elapsed("train"),
        "seed": options.seed,
    }
    flops_left = nonzero_flops(network, input_shape)
    if options.keep_zeros:
        metrics |= {"flops_nonzero": flops_left, "flops_nonzero_ratio": flops_left / flops_full}
    run.finish(architecture, metrics, network)
    trainer.strategy.barrier()  # other processes may read the run next: a teacher's
    start = job.original.source if options.network else options.init
    rows = [
        ("network", f"{architecture.network} on {options.data}, {options.epochs} epochs"),
        ("architecture", options.architecture or "unpruned"),
        ("started from", {"teacher": "the teacher's weights", "inherited": "the weights beside it"}.get(start, start)),
        ("FLOPs", change(flops_full, flops_kept)),
        *([("of non-zero weights", change(flops_full, flops_left))] if options.keep_zeros else []),
        ("parameters", change(parameters(full), parameters(network))),
        ("test accuracy", percent(metrics["test_accuracy"])),
        ("teacher", f"{percent(metrics['teacher_accuracy'])}, {sources(teachers)}" if teachers else "none"),
        ("time", f"{metrics['seconds']:.0f} s"),
        ("weights", str(run.weights)),
        ("curves", "tensorboard --logdir runs"),
        ("next", f"python -c \"import tas; print(tas.load('{run.path}'))\""),
    ]
    if trainer.is_global_zero:
        print(summary("training finished", rows))
    return run


def sources(teachers: Sequence[TrainedTeacher]) -> str:
    """Where teachers are from, in words."""
    average = f"the average of {len(teachers)}: " if len(teachers) > 1 else ""
    return average + ", ".join(teacher.source for teacher in teachers)


def asked(teachers: Sequence[TrainedTeacher], data: ImageData, device: torch.device) -> Teachers:
    """Teachers as the training asks them, each in the cheapest type of number that leaves its predictions unchanged."""
    members = []
    for teacher in teachers:
        network, dtype = teacher.network.to(device), None
        if fast_in_bfloat16(device):
            images, _ = next(iter(data.judging_batches(data.train_images())))  # as many as one batch has
            dtype = torch.bfloat16 if predicts_alike(network, images.to(device), torch.bfloat16) else None
        members.append(Teacher(network, dtype))
    return Teachers(members)


def feature_flags(options: TrainOptions) -> str:
    """The flags of the feature terms that are wanted; empty without any."""
    return " ".join(flag(key) for key in ("attention_transfer", "hints") if getattr(options, key) > 0)


def feature_distillation(
    options: TrainOptions, network: nn.Module, job: TrainingTask, input_shape: Sequence[int]
) -> FeatureDistillation | None:
    """The feature terms of a training, if wanted. TasError where the networks' stages do not fit together."""
    if not feature_flags(options):
        return None
    with blame(feature_flags(options)):
        return FeatureDistillation(
            Staged(network, stage_ends(job.original.plan, job.architecture.depths)),
            [Staged(item.network, stage_ends(item.plan, item.architecture.depths)) for item in job.teachers],
            input_shape,
            attention_transfer=options.attention_transfer,
            hints=options.hints,
        )


@contextmanager
def sparse(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Keep a network's zeros, if wanted. TasError if it has none."""
    with ExitStack() as stack:
        if wanted:
            with blame("--keep-zeros"):
                stack.enter_context(zeros_kept(network))
        yield


@contextmanager
def compiled(module: TrainModule, wanted: bool) -> Iterator[None]:
    """Compile a training's networks, if wanted. TasError where the compiler fails."""
    if not wanted:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException  # takes seconds to import

    module.network.compile()
    for teacher in module.teachers.members if module.teachers else ():
        cast(Teacher, teacher).network.compile()
    try:
        yield
    except TorchDynamoException as error:
        raise TasError(f"--compile: torch.compile cannot do this here ({gist(error)})") from None
