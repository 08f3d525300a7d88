"""`tas search`: from a network, a data set and a budget to an architecture."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from torch.optim.swa_utils import update_bn

from tas.budget import Budget
from tas.commands.shared import data_of, open_original, warn, warn_uncounted
from tas.config import SearchOptions
from tas.cost import exact_flops, parameters
from tas.cutting import cut
from tas.data import SearchData
from tas.derivation import derive
from tas.errors import TasError, blame
from tas.importance import sorted_by_importance
from tas.monitor import Distributions
from tas.networks import check_name, open_network
from tas.progress import RunBar
from tas.reading.residuals import tie_residuals
from tas.report import change, draw_architecture, percent, summary
from tas.runs import Run, label, write_text
from tas.search import SearchModule, mean_confidence
from tas.space import SearchSpace, check_cuts
from tas.supernet import Supernet
from tas.trainer import fit, interruptible, make_trainer


def search(options: SearchOptions) -> Run:
    """Search, leave the results in the run's directory, print a summary; returns the finished run."""
    with blame("--network"):
        check_name(options.network)
    pl.seed_everything(options.seed, workers=True, verbose=False)
    data = data_of(options, options.data, options.data_dir)
    halves = SearchData(data, options.seed)
    original = open_original(
        options.network, options.pretrained, options.weights, data.num_classes, data.in_channels, data.image_size
    )
    network, plan, full = original.network, original.plan, original.full
    space = SearchSpace.of(
        tie_residuals(plan) if options.residuals == "tied" else plan,
        full,
        options.ratios,
        options.search != "depth",
        options.search != "width",
        options.round_to,
        options.exclude,
    )
    input_shape = (data.in_channels, data.image_size, data.image_size)
    with blame("--network"):
        check_cuts(network, space, input_shape)
    source = original.source
    if original.trained and options.init == "scratch":
        network, source = open_network(options.network, data.num_classes, data.in_channels), "fresh weights"
    elif original.trained:
        network.load_state_dict(sorted_by_importance(network.state_dict(), plan))
    flops_full = exact_flops(plan, full)
    budget = Budget(options.flops_target * flops_full, options.tolerance)
    smallest = exact_flops(plan, space.smallest()) / flops_full
    if smallest * flops_full > budget.high:
        raise TasError(
            f"--flops-target {options.flops_target:g}: the smallest network that this search can find keeps "
            f"{smallest:.4f} of the FLOPs of {options.network}; give at least that, or --ratios with smaller shares"
        )
    if options.samples == 1 and options.search != "depth":
        warn("search", "with --samples 1 the loss gives the widths no gradient; only the cost moves them")
    if plan.widths and not any(layer.norm for layer in plan.layers):
        warn(
            "search",
            f"{options.network} has no batch norm after any layer that is searched; widths are mixed without one",
        )

    warn_uncounted("search", options.network, network, input_shape)

    run = Run.of(options, "search", label(options.network, options.data))
    module = SearchModule(
        Supernet(network, space, options.align),
        budget,
        epochs=options.epochs,
        samples=options.samples,
        cost_weight=options.cost_weight,
        warmup=options.warmup,
        tau=(options.tau_start, options.tau_end),
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        arch_lr=options.arch_lr,
        arch_weight_decay=options.arch_weight_decay,
        seed=options.seed,
    )
    timer = Timer()
    batches = len(halves.train_dataloader()["weights"])
    trainer = make_trainer(options, run, batches, [RunBar("search", options.flops_target), Distributions(), timer])
    with interruptible(run, f"tas search --resume {run.path}"):
        fit(trainer, module, halves, run, options)
        widths, depths = module.supernet.probabilities()
        found = derive(space, widths, depths, budget)
        flops = exact_flops(plan, found)
        module.supernet.force(found)
        # The running statistics are those of many sampled networks; this one needs its own. Lightning has put the
        # module back on the CPU by now, and leaves it in the precision of the training.
        device = trainer.strategy.root_device
        update_bn(halves.train_dataloader()["weights"], module.supernet.float().to(device), device)
        val_accuracy = trainer.validate(module, halves, verbose=False)[0]["val_accuracy"]
    small = cut(network, plan, found, module.supernet.weights(found))
    params_full, params = parameters(network), parameters(small)
    metrics = {
        "flops": flops,
        "flops_full": flops_full,
        "flops_ratio": flops / flops_full,
        "flops_target": options.flops_target,
        "target_met": budget.holds(flops),
        "params": params,
        "params_full": params_full,
        "val_accuracy": val_accuracy,
        "confidence": mean_confidence(widths, depths),
        "seconds": timer.time_elapsed("train"),
        "seed": options.seed,
    }
    if trainer.is_global_zero:
        draw_architecture(plan, found).savefig(run.path / "architecture.png", dpi=150)
        write_text(run.space, f"{space}\n")
    run.finish(found, metrics, small)
    target = f"{options.flops_target:g} +- {options.tolerance:.0%}"
    images = f"{len(halves.weights_half)} + {len(halves.architecture_half)}"
    blocks = ", ".join(f"{stage} {depth} of {full.depths[stage]}" for stage, depth in found.depths.items())
    rows = [
        ("network", f"{options.network} on {options.data}, {images} images"),
        ("started from", source),
        ("FLOPs", change(flops_full, flops)),
        ("target", f"{target}: {'met' if budget.holds(flops) else 'NOT MET; this is the nearest network found'}"),
        ("parameters", change(params_full, params)),
        ("blocks kept", blocks or "all"),
        ("accuracy", f"{percent(val_accuracy)} on the architecture half, with the supernet's weights"),
        ("confidence", f"{metrics['confidence']:.3f}"),
        ("time", f"{metrics['seconds']:.0f} s"),
        ("architecture", str(run.architecture)),
        ("space", str(run.space)),
        ("picture", str(run.path / "architecture.png")),
        ("curves", "tensorboard --logdir runs"),
        ("next", f"tas train --kd --architecture {run.path}"),
    ]
    if trainer.is_global_zero:
        print(summary("search finished", rows))
    return run
