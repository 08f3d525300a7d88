"""`tas derive`: from a finished search to the network of another budget, or to the front of all budgets."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.commands.found import leave_found, search_result
from tas.commands.promises import check_kept, check_reachable, space_table
from tas.config import DeriveOptions
from tas.config.groups import Keeping
from tas.cost.budget import Budget
from tas.errors import TasError
from tas.runs.console import say
from tas.runs.files import directory_whole, write_text
from tas.runs.picture import save_picture
from tas.runs.run import Run, label
from tas.runs.summary import summary
from tas.search.conclusion import Scored, conclude
from tas.search.finish import hand_over
from tas.search.pictures import draw_front
from tas.search.probing import check_probes, probes_of
from tas.search.task import SearchTask, budgets_of, reopen_search
from tas.space.outlook import outlook
from tas.space.peak_memory import peak_for
from tas.timing.latency_model import known_measures, predicted_for
from tas.training.curves import csv_lines
from tas.training.short import evaluate
from tas.training.trainer import open_trainer, quiet

STATISTICS_IMAGES = 2048
"""Training images, about, by which the norms of what is derived take their statistics."""


def derive_run(options: DeriveOptions) -> Run:
    """Answer a budget from what a search has learned; leaves a run like a search's, or a front; returns it.

    Raises:
        TasError: Something cannot be had or does not go together, or no network of the space is inside the budgets.
        TargetMissedError: The run is finished, but its network is not inside the budgets.
    """
    if options.run is None:
        raise TasError("--run is missing; name a finished search: tas derive runs/search/RUN --flops-target 0.3")
    began, origin = time.monotonic(), Run(options.run)
    elsewhere = asdict(options.machine) | ({"data_dir": options.data_dir} if options.data_dir else {})
    task, module = reopen_search(origin, **elsewhere)
    draws = options.draws or task.options.strategy.draws
    wanted = task.options.changed(**asdict(options.target), **asdict(options.timing), output=options.output)
    if task.options.strategy.strategy == "sandwich":
        wanted = wanted.changed(draws=draws)
    predicted = predicted_for(options.target, options.timing, task.network, task.space)
    peak = peak_for(options.target, task.network, task.space)
    budgets = budgets_of(options.target, task.space, known_measures(predicted, peak))
    task = replace(task, options=wanted, budgets=budgets, predicted=predicted, peak=peak)
    name = label(wanted.source.name, str(wanted.dataset.data))
    run = Run.of(Keeping(output=options.output), "derive", name)
    # Killed while it left its results, it has them left anew: nothing of it took long.
    run.go_on = run.broken_off(wanted)
    run.check_free()
    probes = probes_of(origin).entries
    check_probes(origin, probes, task.space.full)
    if options.draws is not None and (options.front or not probes):
        raise TasError(
            f"--draws goes with a search that measured scores, and without --front; {origin.path} has "
            f"{'them' if probes else 'none'}"
        )
    if not probes and module.strategy.measures_scores:
        raise TasError(f"{origin.probes}: is missing; what the search measured is in it")
    if options.front:
        if not probes:
            raise TasError(f"--front: {origin.path} measured no scores; --strategy sandwich does")
        leave_front(task, Scored(task.space, probes), options.front, run)
        return run
    prospect = outlook(task.space, task.budgets)
    check_reachable(options.target, prospect)
    quiet()
    device = open_trainer(options.machine, 1, logger=False, enable_checkpointing=False).strategy.root_device
    seed, judging = wanted.keeping.seed, task.halves.probing_batches(wanted.strategy.probe_images)
    say(space_table(options.target, prospect, task.predicted))
    if probes:
        conclusion = conclude(Scored(task.space, probes), task.budgets, draws, seed)
    else:
        conclusion = module.strategy.conclude(task.budgets, lambda: judging, device)
    images = task.halves.train_dataloader()["weights"]
    torch.manual_seed(seed)  # of the augmentation
    few = islice(images, max(1, STATISTICS_IMAGES // wanted.recipe.batch_size))
    found = hand_over(module, task.network, task.budgets, conclusion, few, device, task.promise())
    accuracy = evaluate(found.network, judging, device)
    run.start(wanted)
    result = search_result(task, found, accuracy, time.monotonic() - began, str(origin.path))
    leave_found(task, found, result, run)
    check_kept(options.target, result, run)
    return run


@rank_zero_only
def leave_front(task: SearchTask, scored: Scored, count: int, run: Run) -> None:
    """The best networks at so many costs, and the controls at the same, as a table and a picture."""
    measure = task.budgets[0].measure
    full, smallest = task.full(measure), measure.exact(task.space.plan, task.space.smallest())
    rows: list[dict[str, float | str]] = []
    for place in range(count):
        target = smallest + (full - smallest) * place / (count - 1)
        budget = Budget(target, task.options.target.tolerance, measure)
        best = scored.best([budget])
        for name, network in {"found": best, **scored.controls(best, [budget])}.items():
            loss = scored.loss(network)
            # In units of accuracy, against the unpruned network, whose score the model takes as it is.
            error = scored.gain(network, task.space.full)[1]
            rows.append(
                {
                    "network": name,
                    "share": budget.cost(task.space.plan, network) / full,
                    "loss": loss,
                    "loss_error": error,
                    "accuracy": scored.accuracy(loss),
                    "error": abs(scored.accuracy(loss + error) - scored.accuracy(loss - error)) / 2,
                    "blocks": " ".join(map(str, network.depths.values())),
                    "widths": " ".join(map(str, network.widths.values())),
                }
            )
    lines = [
        [str(key) for key in rows[0]],
        *([f"{v:.6g}" if isinstance(v, float) else v for v in r.values()] for r in rows),
    ]
    rows = [row for row in rows if row["network"] != "found" or not dominated(row, rows)]
    with directory_whole(run.path) as draft:
        write_text(draft / "front.csv", csv_lines(lines))
        save_picture(draw_front(rows, measure.words), draft / "front.png")
    found = [row for row in rows if row["network"] == "found"]
    shown = [(f"{row['share']:.1%}", f"{row['accuracy']:.2%} +- {row['error']:.2%}") for row in found]
    places = [("table", str(run.path / "front.csv")), ("picture", str(run.path / "front.png"))]
    say(summary(f"predicted accuracy at shares of the {measure.words}", [*shown, *places]))


def dominated(row: Mapping[str, float | str], rows: Sequence[Mapping[str, float | str]]) -> bool:
    """Whether a network that costs no more is predicted to be better."""
    return any(float(o["share"]) <= float(row["share"]) and float(o["loss"]) < float(row["loss"]) for o in rows)
