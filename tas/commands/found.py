"""What `tas search` and `tas derive` leave of a network that was found, and what they say of it."""

from tas.cost.count import parameters
from tas.cost.measures import FLOPS
from tas.runs.card import write_card
from tas.runs.console import say
from tas.runs.files import write_text
from tas.runs.picture import draw_architecture, save_picture
from tas.runs.results import Likeliest, SearchResult, Standing
from tas.runs.run import Run
from tas.runs.summary import aimed, change, latency_words, memory_words, missed, percent, summary
from tas.search.confidence import mean_confidence, unsettled
from tas.search.finish import Found
from tas.search.pictures import draw_elasticities
from tas.search.probing import write_probes
from tas.search.task import SearchTask
from tas.timing.promise import share_aimed_at

SCALE = "0: all candidates alike, 1: sure"


def search_result(
    task: SearchTask, found: Found, val_accuracy: float, seconds: float, derived_from: str | None = None
) -> SearchResult:
    """What a search measured.

    Args:
        task: What was searched.
        found: What it found.
        val_accuracy: Of the found network with the supernet's weights.
        seconds: The time that the search took.
        derived_from: The search, where an earlier one was asked anew.
    """
    flops_full, params_full = task.full(FLOPS), parameters(task.network)
    flops, params = found.costs["flops"], parameters(found.network)
    budget, conclusion, shares, timed = task.budgets[0], found.conclusion, task.shares, found.timed
    around = None if found.reachable is None else tuple(cost / task.full(budget.measure) for cost in found.reachable)
    # Distributions that were learned for one budget need not cost another.
    doubts = unsettled(conclusion, task.space.plan, () if derived_from else task.budgets)
    likeliest, memory_full = conclusion.likeliest, None if task.peak is None else task.full(task.peak)
    return SearchResult(
        flops=flops,
        flops_full=flops_full,
        flops_ratio=flops / flops_full,
        flops_target=shares.get("flops"),
        params=params,
        params_full=params_full,
        params_ratio=params / params_full,
        params_target=shares.get("params"),
        target_met=found.met,
        reachable=around,
        latency=timed,
        latency_target=None if timed is None else share_aimed_at(task.options.target.amounts()["latency"], timed),
        latency_errors=None if task.predicted is None else task.predicted.errors,
        memory=found.peak,
        memory_full=memory_full,
        memory_ratio=None if found.peak is None or memory_full is None else found.peak / memory_full,
        memory_target=shares.get("memory"),
        val_accuracy=val_accuracy,
        confidence=mean_confidence(conclusion.widths, conclusion.depths),
        likeliest=Likeliest(
            flops_ratio=FLOPS.exact(task.space.plan, likeliest) / flops_full,
            widths=dict(likeliest.widths),
            depths=dict(likeliest.depths),
        ),
        converged=not doubts,
        unsettled=doubts,
        strategy=task.options.strategy.strategy,
        derived_from=derived_from,
        standing=conclusion.standing,
        seconds=seconds,
        seed=task.options.keeping.seed,
    )


def leave_found(task: SearchTask, found: Found, result: SearchResult, run: Run) -> None:
    """Leave what was found in the run's directory, and print the summary."""
    save_picture(draw_architecture(task.space.plan, found.architecture), run.path / "architecture.png")
    write_text(run.space, f"{task.space}\n")
    conclusion = found.conclusion
    if conclusion.standing is not None:
        write_probes(run, conclusion.probes)
        save_picture(draw_elasticities(conclusion.standing.elasticities), run.path / "elasticities.png")
    run.keep(found.architecture, found.network, task.halves.data.described())
    write_card(run, result)
    result.write(run)
    say(summary("search finished" if result.derived_from is None else "derived", found_rows(task, found, result, run)))


def found_rows(task: SearchTask, found: Found, result: SearchResult, run: Run) -> list[tuple[str, str]]:
    """The lines of the summary."""
    options, halves, full = task.options, task.halves, task.space.full
    images = f"{len(halves.weights_half)} + {len(halves.architecture_half)}"
    kept = found.architecture.depths.items()
    blocks = ", ".join(f"{stage} {depth} of {full.depths[stage]}" for stage, depth in kept)
    outcome = "met" if found.met else missed("this search", result.reachable or ())
    part = "architecture half" if options.strategy.strategy == "gumbel-mixture" else "held-out images"
    return [
        ("network", f"{options.source.name} on {options.dataset.data}, {images} images"),
        ("started from", result.derived_from or task.source),
        ("FLOPs", change(result.flops_full, result.flops)),
        ("target", f"{aimed(options.target)}: {outcome}"),
        ("parameters", change(result.params_full, result.params)),
        *([] if result.latency is None else [("latency", latency_words(result.latency))]),
        *([] if result.memory is None else [("peak memory", memory_words(result))]),
        ("blocks kept", blocks or "all"),
        ("accuracy", f"{percent(result.val_accuracy)} on the {part}, with the supernet's weights"),
        *([] if result.standing is None else standing_rows(result.standing, found.met)),
        ("confidence", f"{result.confidence:.3f} ({SCALE})"),
        *(("not settled", doubt) for doubt in result.unsettled),
        ("time", f"{result.seconds:.0f} s"),
        ("architecture", str(run.architecture)),
        ("space", str(run.space)),
        ("picture", str(run.path / "architecture.png")),
        ("curves", "tensorboard --logdir runs"),
        ("next", f"tas train --kd --architecture {run.path}"),
    ]


def standing_rows(standing: Standing, met: bool) -> list[tuple[str, str]]:
    """What measured scores say, in words; of a network that is not inside the budgets none that compare it."""
    gains = [
        f"{gain:+.3f} +- {error:.3f} {'better' if gain > 0 else 'worse'} than {name}"
        for name, (gain, error) in standing.predicted_gain.items()
    ]
    kept = "the network of the highest score" if met else "the network nearest to the target"
    compared = "; ".join(gains) if met else "not compared with rules: none is known at the cost of the nearest network"
    if standing.control is not None:
        kept = f"{standing.control}: the network of the highest score is not ahead of it by more than the error"
    return [
        (
            "scores",
            f"R2 {standing.r_squared:.2f}, tau {standing.tau:.2f} for networks not in the fit, of {standing.probes}",
        ),
        ("predicted loss", compared),
        ("handed over", kept),
    ]
