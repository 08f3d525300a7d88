"""`tas prune`: from a network, a data set and a budget to an architecture, by another method than the search."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.commands.promises import check_kept, check_reachable, memory_kept, space_table
from tas.config import PruneOptions
from tas.config.groups import Space
from tas.config.methods import METHODS, method_of
from tas.cost.budget import Budget
from tas.cost.count import flops, parameters
from tas.cost.measures import MEASURES
from tas.cost.targets import budgets_for, shares_of
from tas.data.opening import open_dataset
from tas.errors import Interrupted, TasError, blame
from tas.networks import check_name
from tas.pruning.task import Pruned, PruneTask, handed_over
from tas.reading.original import Original, original_for
from tas.runs.card import write_card
from tas.runs.console import say, warn_uncounted
from tas.runs.picture import draw_architecture, save_picture
from tas.runs.results import PruneResult, TimedLatency
from tas.runs.run import Run, label
from tas.runs.summary import aimed, change, latency_words, memory_words, missed, summary
from tas.space.outlook import Outlook
from tas.space.peak_memory import peak_for, peak_of
from tas.space.space import SearchSpace
from tas.timing.latency_model import known_measures, predicted_for
from tas.timing.promise import latency_kept, share_aimed_at
from tas.training.interrupts import signal_of
from tas.training.threads import choose_threads


def prune(options: PruneOptions) -> Run:
    """Find a smaller network, leave the results in the run's directory, print a summary; returns the finished run.

    Raises:
        TasError: Something cannot be had or does not go together, or the method has no network inside the budgets.
        TargetMissedError: The run is finished, but its network is not inside the budgets.
    """
    run = Run.of(options.keeping, "prune", label(options.source.name, str(options.dataset.data)), options)
    task, original = open_prune(options, run)
    prospect = method_of(options.pruning.method).look(task)
    if prospect is not None and not options.keeping.resume:  # what has begun is brought to its end
        check_reachable(options.target, prospect, options.pruning.method)
    check_kept(options.target, carry_out(task, original, prospect), run)
    return run


def prune_in(options: PruneOptions, run: Run) -> PruneResult:
    """The same in the directory of a run, as a part of a comparison: where no network is inside the budgets the nearest
    is found, and the result says so."""
    task, original = open_prune(options, run)
    return carry_out(task, original, method_of(options.pruning.method).look(task))


def open_prune(options: PruneOptions, run: Run) -> tuple[PruneTask, Original]:
    """What a method works on, with a run that has not begun; the generators are seeded on the way.

    Raises:
        TasError: Something of it cannot be had or does not go together.
    """
    source, seed = options.source, options.keeping.seed
    with blame("--network"):
        check_name(source.name)
    method = method_of(options.pruning.method)
    with blame("--method"):
        method.load()
    if method.needs_weights and not source.trained:
        without = ", ".join(name for name, other in METHODS.items() if not other.needs_weights)
        raise TasError(
            f"--method {options.pruning.method} judges trained weights: give --weights RUN or --pretrained; "
            f"allowed without: {without}"
        )
    pl.seed_everything(seed, workers=True, verbose=False)
    data = open_dataset(options.dataset, options.recipe, options.machine, seed)
    original = original_for(data, source)
    choose_threads(original.plan, original.full, options.recipe.batch_size)
    warn_uncounted("prune", source.name, original.network, data.input_shape)
    plan, full, trained = original.plan, original.full, original.trained
    space = SearchSpace.of(plan, full, Space(round_to=options.pruning.round_to))
    predicted = predicted_for(options.target, options.timing, original.network, space)
    # Of all networks that a method may find: some find narrower ones than the space above has.
    peak = peak_for(options.target, original.network, SearchSpace.whole(plan, full, options.pruning.round_to))
    budgets = budgets_for(options.target, plan, full, known_measures(predicted, peak))
    return PruneTask(original.network, plan, full, trained, data, budgets, options, run, predicted, peak), original


def carry_out(task: PruneTask, original: Original, prospect: Outlook | None) -> PruneResult:
    """Run the method and leave its results; the result says whether the budgets are met."""
    options, run = task.options, task.run
    run.check_free()
    if prospect is not None:
        say(space_table(options.target, prospect, task.predicted))
    run.start(options)
    began = time.monotonic()
    try:
        pruned, timed = find_inside(task)
    except (KeyboardInterrupt, SystemExit) as error:  # Lightning exits after Ctrl-C
        raise Interrupted(f"go on with: tas prune --resume {run.path}", signal_of(error)) from None
    except Exception:  # the method cannot do this
        run.give_up()
        raise
    seconds = time.monotonic() - began + pruned.seconds_before
    result = prune_result(task, pruned, timed, seconds)
    leave_results(task, original, pruned, result)
    return result


def find_inside(task: PruneTask) -> tuple[Pruned, TimedLatency | None]:
    """What the method finds; where a latency is aimed at, for budgets that are moved by as much as predictions are off,
    and what was measured."""
    method = method_of(task.options.pruning.method)
    find = method.load()
    if method.keeps_latency or (promise := task.promise()) is None:
        pruned = handed_over(task, find(task))
        return pruned, pruned.timed

    def inside(budgets: Sequence[Budget]) -> Pruned:
        return handed_over(task, find(replace(task, budgets=tuple(budgets))))

    return promise.keep(inside, lambda found: found.architecture, task.plan, task.budgets)


@rank_zero_only
def leave_results(task: PruneTask, original: Original, pruned: Pruned, result: PruneResult) -> None:
    """Leave the results and print the summary."""
    run, architecture = task.run, pruned.architecture
    save_picture(draw_architecture(original.plan, architecture), run.path / "architecture.png")
    run.keep(architecture, pruned.network, task.data.described())
    write_card(run, result)
    result.write(run)
    say(summary("pruning finished", prune_rows(task, original, pruned, result)))


def prune_result(task: PruneTask, pruned: Pruned, timed: TimedLatency | None, seconds: float) -> PruneResult:
    """What a pruning measured."""
    options, full = task.options, task.cost(task.full)
    flops_full, dense = MEASURES["flops"].exact(task.plan, task.full), flops(pruned.network, task.input_shape)
    params_full, params = parameters(task.network), parameters(pruned.network)
    zeros = method_of(options.pruning.method).leaves_zeros
    shares = shares_of(options.target, task.plan, task.full, known_measures(task.predicted, task.peak))
    # By the network itself, and not by what a method says of it, but where that is of its zeros.
    counted = {"flops": pruned.cost if zeros else dense, "params": params}
    met = all(budget.holds(counted[budget.measure.name]) for budget in task.budgets if budget.measure.name in counted)
    if timed is not None:
        met = met and latency_kept(options.target.amounts()["latency"], options.target.tolerance, timed)
    memory = None if task.peak is None else peak_of(pruned.network, task.full)
    memory_full = None if task.peak is None else task.peak.exact(task.plan, task.full)
    met = met and (memory is None or memory_kept(options.target, memory, memory_full))
    # Shares of a predicted latency are not what can be reached.
    around = None if met or timed is not None else tuple(cost / full for cost in pruned.around)
    result = PruneResult(
        flops=dense,
        flops_full=flops_full,
        flops_ratio=dense / flops_full,
        flops_target=shares.get("flops"),
        params=params,
        params_full=params_full,
        params_ratio=params / params_full,
        params_target=shares.get("params"),
        target_met=met,
        reachable=around,
        latency=timed,
        latency_target=None if timed is None else share_aimed_at(options.target.amounts()["latency"], timed),
        latency_errors=None if task.predicted is None else task.predicted.errors,
        memory=memory,
        memory_full=memory_full,
        memory_ratio=None if memory is None or memory_full is None else memory / memory_full,
        memory_target=shares.get("memory"),
        method=options.pruning.method,
        sparsity_weight=pruned.sparsity_weight,
        seconds=seconds,
        seed=task.seed,
    )
    if zeros:
        return replace(result, flops_nonzero=pruned.cost, flops_nonzero_ratio=pruned.cost / flops_full)
    return result


def prune_rows(task: PruneTask, original: Original, pruned: Pruned, result: PruneResult) -> list[tuple[str, str]]:
    """The lines of the summary."""
    options, run, zeros = task.options, task.run, result.flops_nonzero
    kept = pruned.architecture.depths.items()
    blocks = ", ".join(f"{stage} {depth} of {task.full.depths[stage]}" for stage, depth in kept)
    outcome = "met" if result.target_met else missed(result.method, result.reachable or ())
    weight = result.sparsity_weight
    return [
        ("network", f"{options.source.name} on {options.dataset.data}"),
        ("method", result.method),
        ("started from", original.source),
        *([("sparsity weight", f"{weight:.3g}")] if weight is not None else []),
        ("FLOPs", change(result.flops_full, result.flops)),
        *([("without zeros", change(result.flops_full, zeros))] if zeros is not None else []),
        ("target", f"{aimed(options.target)}: {outcome}"),
        *([("note", "zeros save nothing on ordinary hardware")] if zeros is not None else []),
        ("parameters", change(result.params_full, result.params)),
        *([] if result.latency is None else [("latency", latency_words(result.latency))]),
        *([] if result.memory is None else [("peak memory", memory_words(result))]),
        ("blocks kept", blocks or "all"),
        ("time", f"{result.seconds:.0f} s"),
        ("architecture", str(run.architecture)),
        ("picture", str(run.path / "architecture.png")),
        ("next", f"tas train --architecture {run.path}{' --init inherited' if original.trained else ''}"),
    ]
