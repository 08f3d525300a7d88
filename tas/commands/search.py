"""`tas search`: from a network, a data set and a budget to an architecture."""

import math
import time
from dataclasses import replace

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from tas.commands.found import SCALE, leave_found, search_result
from tas.commands.promises import check_kept, check_reachable, space_table
from tas.config import SearchOptions
from tas.runs.console import say, warn
from tas.runs.results import SearchResult
from tas.runs.run import Run, label
from tas.search.finish import finish_search
from tas.search.monitor import Distributions
from tas.search.task import SearchTask, keep_checkpoint, open_search
from tas.space.outlook import Outlook, outlook
from tas.training.interrupts import interruptible
from tas.training.progress import RunBar
from tas.training.threads import choose_threads
from tas.training.trainer import fit, make_trainer


def search(options: SearchOptions) -> Run:
    """Search, leave the results in the run's directory, print a summary; returns the finished run.

    Raises:
        TasError: Something cannot be had or does not go together, or no network of the space is inside the budgets.
        TargetMissedError: The run is finished, but its network is not inside the budgets.
    """
    task = open_search(options)
    prospect = outlook(task.space, task.budgets)
    if not options.keeping.resume:  # what has begun is brought to its end
        check_reachable(options.target, prospect)
    run = Run.of(options.keeping, "search", label(options.source.name, str(options.dataset.data)), options)
    check_kept(options.target, conduct(task, prospect, run), run)
    return run


def search_in(options: SearchOptions, run: Run) -> None:
    """Search as a part of a comparison: where no network is inside the budgets the nearest is found, and the result
    says so."""
    task = open_search(options)
    conduct(task, outlook(task.space, task.budgets), run)


def conduct(task: SearchTask, prospect: Outlook, run: Run) -> SearchResult:
    """Carry out a search and leave its results in the directory of a run."""
    options, halves, targets = task.options, task.halves, task.shares
    choose_threads(task.space.plan, task.space.full, options.recipe.batch_size)
    module, timer, distributions = task.module(), Timer(), Distributions([task.measures[name] for name in targets])
    asked_alone = not options.recipe.epochs and options.machine.devices == "auto"
    trainer = make_trainer(
        replace(options.machine, devices="1") if asked_alone else options.machine,
        options.recipe.epochs,
        options.keeping,
        run,
        len(halves.train_dataloader()["weights"]),
        [RunBar("search", targets), distributions, timer],
        partial=True,  # of the candidates that are not drawn
    )
    run.check_free()
    say(space_table(options.target, prospect, task.predicted))
    mixtures = options.strategy.strategy == "gumbel-mixture"
    if mixtures and (warmup := math.ceil(options.strategy.warmup * options.recipe.epochs)):
        say(
            f"warm-up until epoch {warmup} of {options.recipe.epochs}: the weights learn alone; then the widths and "
            f"depths move, and with them the confidence ({SCALE})"
        )
    with interruptible(run, f"tas search --resume {run.path}"):
        if options.recipe.epochs:
            fit(trainer, module, halves, run, options)
        else:
            run.start(options)
        trained = time.monotonic()
        # Lightning has put the module back on the CPU by now, and leaves it in the precision of the training.
        device = trainer.strategy.root_device
        found = finish_search(
            module,
            task.network,
            task.budgets,
            halves.train_dataloader()["weights"],
            device,
            lambda: halves.probing_batches(options.strategy.probe_images),
            task.promise(),
        )
        # Earlier epochs of a search that was gone on with count, and so does what comes after the last.
        seconds = timer.time_elapsed("train") + time.monotonic() - trained
        distributions.conclude(trainer, module, found.conclusion.standing)
        val_accuracy = trainer.validate(module, halves, verbose=False)[0]["val_accuracy"]
    result = search_result(task, found, val_accuracy, seconds)
    if trainer.is_global_zero:
        if not options.recipe.epochs:  # what `tas derive` starts from
            keep_checkpoint(run, module)
        leave_found(task, found, result, run)
        warn_of_doubts(task, result, trainer)
    return result


def warn_of_doubts(task: SearchTask, result: SearchResult, trainer: pl.Trainer) -> None:
    """Warn of what has not settled, and say what would help."""
    options, more = task.options, "more --epochs or --probes help"
    if options.strategy.strategy == "gumbel-mixture":
        steps = round((1 - options.strategy.warmup) * options.recipe.epochs * int(trainer.num_training_batches))
        more = f"steps that moved widths and depths: {steps}, more --epochs give more"
    for doubt in result.unsettled:
        warn("search", f"not settled: {doubt}; {more}")
