"""One training, from the network that it starts with to its summary."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch import nn

from tas.architecture import Architecture
from tas.config import TrainOptions
from tas.config.groups import Distillation
from tas.cost.count import flops, nonzero_flops, parameters
from tas.cutting.build import build
from tas.cutting.cut import cut
from tas.cutting.importance import sorted_by_importance
from tas.data.images import ImageData
from tas.distillation.features import FeatureDistillation, Staged, stage_ends
from tas.distillation.teachers import Teacher, Teachers, fast_in_bfloat16, predicts_alike
from tas.errors import blame
from tas.reading.original import Original
from tas.reading.plan import Plan
from tas.runs.card import write_card
from tas.runs.console import say, warn
from tas.runs.load import load
from tas.runs.results import TrainResult
from tas.runs.run import Run, home_of
from tas.runs.summary import change, percent, summary
from tas.training.compiling import compiler_blamed
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
    doubts: tuple[str, ...] = ()
    """What speaks against trusting it (`TrainResult.doubts`)."""


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


def starting_network(options: TrainOptions, task: TrainingTask) -> nn.Module:
    """The network to train, with the weights that it starts from."""
    original = task.original
    if options.source.network is not None:
        if original.trained:
            return copy.deepcopy(original.network)  # which may be the teacher, too
        return build(task.architecture)
    if options.init == "teacher":
        state = sorted_by_importance(task.teachers[0].network.state_dict(), original.plan)
        return cut(original.network, original.plan, task.architecture, state)
    if options.init == "inherited":
        return load(home_of(str(options.architecture)).path).train()
    return build(task.architecture)


def train_network(options: TrainOptions, task: TrainingTask, data: ImageData) -> Run:
    """One training from start to summary, with settled options."""
    architecture, run, seed, recipe = task.architecture, task.run, options.keeping.seed, options.recipe
    pl.seed_everything(seed, workers=True, verbose=False)
    network = starting_network(options, task)
    timer = Timer()
    batches = len(data.train_dataloader())
    trainer = make_trainer(options.machine, recipe.epochs, options.keeping, run, batches, [RunBar("train"), timer])
    teachers = task.teachers if options.distillation.kd else ()
    module = TrainModule(
        network,
        architecture.num_classes,
        recipe,
        asked(teachers, data, trainer.strategy.root_device) if teachers else None,
        feature_distillation(options.distillation, network, task, data.input_shape),
        options.distillation,
    )
    for teacher in task.teachers:
        for doubt in teacher.doubts:
            warn("train", f"the teacher {teacher.source}: {doubt}")
    with sparse(network, options.keep_zeros), interruptible(run, task.go_on), compiled(module, options.compile):
        if options.init == "inherited":
            say(f"start: the weights in {options.architecture}, which were trained; --init scratch takes fresh ones")
        fit(trainer, module, data, run, options)
        learned = trainer.callback_metrics.get("accuracy")  # none where a run goes on after its last epoch
        module.renew_statistics(data.train_dataloader(), trainer)
        accuracies = trainer.test(module, data, verbose=False)[0]
    if trainer.is_global_zero:
        measured = {**accuracies} if learned is None else {**accuracies, "accuracy": float(learned)}
        result = train_result(options, task, network, data.input_shape, measured, timer.time_elapsed("train"))
        run.keep(architecture, network, data.described())
        write_card(run, result)
        result.write(run)
        print(summary("training finished", train_rows(options, task, result)))
        for doubt in result.doubts():
            warn("train", f"{run.path}: {doubt}")
    trainer.strategy.barrier()  # other processes may read the run next: a teacher's
    return run


def train_result(
    options: TrainOptions,
    task: TrainingTask,
    network: nn.Module,
    input_shape: Sequence[int],
    accuracies: Mapping[str, float],
    seconds: float,
) -> TrainResult:
    """What a training measured.

    Args:
        options, task: Of the training.
        network: The trained one.
        input_shape: (C, H, W) of one image.
        accuracies: "test_accuracy", "constant_accuracy" and, with teachers, "teacher_accuracy"; "accuracy" where the
            last epoch was trained by this process.
        seconds: The time that it took.
    """
    full = task.original.network
    flops_full, flops_kept = flops(full, input_shape), flops(network, input_shape)
    params_full, params = parameters(full), parameters(network)
    left = nonzero_flops(network, input_shape) if options.keep_zeros else None
    return TrainResult(
        test_accuracy=accuracies["test_accuracy"],
        teacher_accuracy=accuracies.get("teacher_accuracy"),
        train_accuracy=accuracies.get("accuracy"),
        constant_accuracy=accuracies["constant_accuracy"],
        kd=options.distillation.kd,
        flops=flops_kept,
        flops_full=flops_full,
        flops_ratio=flops_kept / flops_full,
        flops_nonzero=left,
        flops_nonzero_ratio=None if left is None else left / flops_full,
        params=params,
        params_full=params_full,
        params_ratio=params / params_full,
        epochs=options.recipe.epochs,
        seconds=seconds,
        seed=options.keeping.seed,
    )


def train_rows(options: TrainOptions, task: TrainingTask, result: TrainResult) -> list[tuple[str, str]]:
    """The lines of the summary."""
    run, left = task.run, result.flops_nonzero
    start = task.original.source if options.source.network else str(options.init)
    taught = f"{percent(result.teacher_accuracy)}, {sources(task.teachers)}"
    return [
        ("network", f"{task.architecture.network} on {options.dataset.data}, {result.epochs} epochs"),
        ("architecture", options.architecture or "unpruned"),
        ("started from", {"teacher": "the teacher's weights", "inherited": "the weights beside it"}.get(start, start)),
        ("FLOPs", change(result.flops_full, result.flops)),
        *([("of non-zero weights", change(result.flops_full, left))] if left is not None else []),
        ("parameters", change(result.params_full, result.params)),
        ("test accuracy", percent(result.test_accuracy)),
        ("teacher", taught if result.kd else "none"),
        ("time", f"{result.seconds:.0f} s"),
        ("weights", str(run.weights)),
        ("curves", "tensorboard --logdir runs"),
        ("next", next_step(options, task)),
    ]


def next_step(options: TrainOptions, task: TrainingTask) -> str:
    """What one does with the trained network: make it smaller, if that was not done, else use it."""
    a, run = task.architecture, task.run
    if a == task.original.full:
        place = f" --data-dir {options.dataset.data_dir}" if options.dataset.data != "digits" else ""
        size = f" --image-size {options.dataset.image_size}" if options.dataset.image_size else ""
        return f"tas search --network {a.network} --weights {run.path} --data {options.dataset.data}{place}{size}"
    shape = f"{a.in_channels}, {a.image_size}, {a.image_size}"
    return f"python -c \"import tas, torch; print(tas.load('{run.path}')(torch.zeros(1, {shape})).softmax(1))\""


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


def feature_distillation(
    distillation: Distillation, network: nn.Module, task: TrainingTask, input_shape: Sequence[int]
) -> FeatureDistillation | None:
    """The feature terms of a training, if wanted. TasError where the networks' stages do not fit together."""
    if not distillation.feature_flags:
        return None
    with blame(distillation.feature_flags):
        return FeatureDistillation(
            Staged(network, stage_ends(task.original.plan, task.architecture.depths)),
            [Staged(item.network, stage_ends(item.plan, item.architecture.depths)) for item in task.teachers],
            input_shape,
            attention_transfer=distillation.attention_transfer,
            hints=distillation.hints,
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
    """Compile a training's networks, if wanted. TasError where the compiler fails.

    On a GPU torch captures each as CUDA graphs too, but where features are compared: these are looked at from outside.
    """
    if wanted:
        mode = "default" if module.features is not None else "reduce-overhead"
        module.network.compile(mode=mode)
        for teacher in module.teachers.members if module.teachers else ():
            cast(Teacher, teacher).network.compile(mode=mode)
    with compiler_blamed():
        yield
