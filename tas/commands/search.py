"""`tas search`: from a network, a data set and a budget to an architecture."""

import math

from pytorch_lightning.callbacks import Timer

from tas.config import SearchOptions
from tas.cost.count import parameters
from tas.cost.measures import MEASURES
from tas.runs.console import say, warn
from tas.runs.files import write_text
from tas.runs.picture import draw_architecture
from tas.runs.results import Likeliest, SearchResult
from tas.runs.run import Run, label
from tas.runs.summary import aimed, change, missed, percent, summary
from tas.search.confidence import mean_confidence
from tas.search.finish import Found, finish_search
from tas.search.monitor import Distributions
from tas.search.task import SearchTask, open_search
from tas.training.interrupts import interruptible
from tas.training.progress import RunBar
from tas.training.threads import choose_threads
from tas.training.trainer import fit, make_trainer

DRAW = 0.1
"""Mean confidence below which a choice is called close to a draw."""

SCALE = "0: all candidates alike, 1: sure"


def search(options: SearchOptions, run: Run | None = None) -> Run:
    """Search, leave the results in the run's directory, print a summary; returns the finished run.

    Args:
        options: Those of the command.
        run: Where the results go; None takes what the options say.
    """
    task = open_search(options)
    choose_threads(task.space.plan, task.space.full, options.recipe.batch_size)
    halves, targets = task.halves, options.target.shares()
    run = run or Run.of(options.keeping, "search", label(options.source.name, str(options.dataset.data)))
    module, timer = task.module(), Timer()
    trainer = make_trainer(
        options.machine,
        options.recipe.epochs,
        options.keeping.seed,
        run,
        len(halves.train_dataloader()["weights"]),
        [RunBar("search", targets), Distributions(list(targets)), timer],
        partial=True,  # of the candidates that are not drawn
    )
    run.check_free()
    if warmup := math.ceil(options.strategy.warmup * options.recipe.epochs):
        say(
            f"warm-up until epoch {warmup} of {options.recipe.epochs}: the weights learn alone; then the widths and "
            f"depths move, and with them the confidence ({SCALE})"
        )
    with interruptible(run, f"tas search --resume {run.path}"):
        fit(trainer, module, halves, run, options)
        # Lightning has put the module back on the CPU by now, and leaves it in the precision of the training.
        device = trainer.strategy.root_device
        found = finish_search(module, task.network, task.budgets, halves.train_dataloader()["weights"], device)
        val_accuracy = trainer.validate(module, halves, verbose=False)[0]["val_accuracy"]
    result = search_result(task, found, val_accuracy, timer.time_elapsed("train"))
    if trainer.is_global_zero:
        draw_architecture(task.space.plan, found.architecture).savefig(run.path / "architecture.png", dpi=150)
        write_text(run.space, f"{task.space}\n")
        run.keep(found.architecture, found.network)
        result.write(run)
        print(summary("search finished", search_rows(task, found, result, run)))
        if result.confidence < DRAW:
            steps = round((1 - options.strategy.warmup) * options.recipe.epochs * int(trainer.num_training_batches))
            warn(
                "search",
                f"confidence {result.confidence:.3f}: what was found is close to a draw among the networks inside the "
                f"budget; steps that moved widths and depths: {steps}, more --epochs give more",
            )
    return run


def search_result(task: SearchTask, found: Found, val_accuracy: float, seconds: float) -> SearchResult:
    """What a search measured.

    Args:
        task: What was searched.
        found: What it found.
        val_accuracy: Of the found network with the supernet's weights.
        seconds: The time that the search took.
    """
    flops_full, params_full = task.full("flops"), parameters(task.network)
    flops, params = found.costs["flops"], parameters(found.network)
    budget = task.budgets[0]
    around = None if found.reachable is None else tuple(cost / task.full(budget.measure) for cost in found.reachable)
    likeliest = found.likeliest
    return SearchResult(
        flops=flops,
        flops_full=flops_full,
        flops_ratio=flops / flops_full,
        flops_target=task.options.target.shares().get("flops"),
        params=params,
        params_full=params_full,
        params_ratio=params / params_full,
        params_target=task.options.target.shares().get("params"),
        target_met=found.met,
        reachable=around,
        val_accuracy=val_accuracy,
        confidence=mean_confidence(found.widths, found.depths),
        likeliest=Likeliest(
            flops_ratio=MEASURES["flops"].exact(task.space.plan, likeliest) / flops_full,
            widths=dict(likeliest.widths),
            depths=dict(likeliest.depths),
        ),
        seconds=seconds,
        seed=task.options.keeping.seed,
    )


def search_rows(task: SearchTask, found: Found, result: SearchResult, run: Run) -> list[tuple[str, str]]:
    """The lines of the summary."""
    halves, options, full = task.halves, task.options, task.space.full
    images = f"{len(halves.weights_half)} + {len(halves.architecture_half)}"
    kept = found.architecture.depths.items()
    blocks = ", ".join(f"{stage} {depth} of {full.depths[stage]}" for stage, depth in kept)
    outcome = "met" if found.met else missed("this search", result.reachable or ())
    return [
        ("network", f"{options.source.name} on {options.dataset.data}, {images} images"),
        ("started from", task.source),
        ("FLOPs", change(result.flops_full, result.flops)),
        ("target", f"{aimed(options.target)}: {outcome}"),
        ("parameters", change(result.params_full, result.params)),
        ("blocks kept", blocks or "all"),
        ("accuracy", f"{percent(result.val_accuracy)} on the architecture half, with the supernet's weights"),
        ("confidence", f"{result.confidence:.3f} ({SCALE})"),
        ("time", f"{result.seconds:.0f} s"),
        ("architecture", str(run.architecture)),
        ("space", str(run.space)),
        ("picture", str(run.path / "architecture.png")),
        ("curves", "tensorboard --logdir runs"),
        ("next", f"tas train --kd --architecture {run.path}"),
    ]
