"""`tas prune`: from a network, a data set and a budget to an architecture, by another method than the search."""

import time

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.config import PruneOptions
from tas.cost.budget import Budget
from tas.cost.count import exact_flops, flops, parameters
from tas.data.opening import data_of
from tas.errors import Interrupted, TasError, blame
from tas.networks import check_name
from tas.pruning.methods import METHODS, WITHOUT_WEIGHTS
from tas.pruning.task import Pruned, PruneTask
from tas.reading.original import Original, open_original
from tas.runs.console import say, warn_uncounted
from tas.runs.picture import draw_architecture
from tas.runs.run import Run, label
from tas.runs.summary import change, missed, summary


def prune(options: PruneOptions) -> Run:
    """Find a smaller network, leave the results in the run's directory, print a summary; returns the finished run."""
    with blame("--network"):
        check_name(options.network)
    if options.method not in WITHOUT_WEIGHTS and not options.pretrained and options.weights is None:
        raise TasError(
            f"--method {options.method} judges trained weights: give --weights RUN or --pretrained; "
            f"allowed without: {', '.join(WITHOUT_WEIGHTS)}"
        )
    pl.seed_everything(options.seed, workers=True, verbose=False)
    data = data_of(options, options.data, options.data_dir)
    original = open_original(
        options.network, options.pretrained, options.weights, data.num_classes, data.in_channels, data.image_size
    )
    input_shape = (data.in_channels, data.image_size, data.image_size)
    warn_uncounted("prune", options.network, original.network, input_shape)
    flops_full = exact_flops(original.plan, original.full)
    budget = Budget(options.flops_target * flops_full, options.tolerance)
    run = Run.of(options, "prune", label(options.network, options.data))
    run.start(options)
    task = PruneTask(original.network, original.plan, original.full, original.trained, data, budget, options, run)
    began = time.monotonic()
    try:
        pruned = METHODS[options.method](task)
    except (KeyboardInterrupt, SystemExit):  # Lightning exits after Ctrl-C
        raise Interrupted(f"go on with: tas prune --resume {run.path}") from None
    seconds = time.monotonic() - began + pruned.seconds_before
    finish(options, original, pruned, run, seconds, flops(pruned.network, input_shape), budget)
    return run


@rank_zero_only
def finish(
    options: PruneOptions, original: Original, pruned: Pruned, run: Run, seconds: float, dense: int, budget: Budget
) -> None:
    """Leave the results and print the summary.

    Args:
        dense: Multiply-adds of the pruned network, those with zeros included.
    """
    network, full, architecture = original.network, original.full, pruned.architecture
    flops_full, met = exact_flops(original.plan, full), budget.holds(pruned.flops)
    metrics: dict[str, object] = {
        "flops": dense,
        "flops_full": flops_full,
        "flops_ratio": dense / flops_full,
        "flops_target": options.flops_target,
        "target_met": met,
        "params": parameters(pruned.network),
        "params_full": parameters(network),
        "seconds": seconds,
        "seed": options.seed,
        "method": options.method,
    }
    if pruned.zeros:
        metrics |= {"flops_nonzero": pruned.flops, "flops_nonzero_ratio": pruned.flops / flops_full}
    around = [count / flops_full for count in pruned.around]
    if not met:
        metrics["reachable"] = around
    if pruned.sparsity_weight is not None:
        metrics["sparsity_weight"] = pruned.sparsity_weight
    draw_architecture(original.plan, architecture).savefig(run.path / "architecture.png", dpi=150)
    run.finish(architecture, metrics, pruned.network)
    blocks = ", ".join(f"{stage} {depth} of {full.depths[stage]}" for stage, depth in architecture.depths.items())
    outcome = "met" if met else missed(options.method, around)
    rows = [
        ("network", f"{options.network} on {options.data}"),
        ("method", options.method),
        ("started from", original.source),
        *([("sparsity weight", f"{pruned.sparsity_weight:.3g}")] if pruned.sparsity_weight is not None else []),
        ("FLOPs", change(flops_full, dense)),
        *([("without zeros", change(flops_full, pruned.flops))] if pruned.zeros else []),
        ("target", f"{options.flops_target:g} +- {options.tolerance:.0%}: {outcome}"),
        *([("note", "zeros save nothing on ordinary hardware")] if pruned.zeros else []),
        ("parameters", change(parameters(network), parameters(pruned.network))),
        ("blocks kept", blocks or "all"),
        ("time", f"{seconds:.0f} s"),
        ("architecture", str(run.architecture)),
        ("picture", str(run.path / "architecture.png")),
        ("next", f"tas train --architecture {run.path}{' --init inherited' if original.trained else ''}"),
    ]
    say(summary("pruning finished", rows))
