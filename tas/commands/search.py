"""`tas search`: from a network, a data set and a budget to an architecture."""

from pytorch_lightning.callbacks import Timer
from torch.optim.swa_utils import update_bn

from tas.commands.ranking import accuracies_alone, describe, rank
from tas.config import SearchOptions
from tas.cost.count import exact_flops, parameters
from tas.cutting.cut import cut
from tas.runs.files import write_text
from tas.runs.picture import draw_architecture
from tas.runs.run import Run, label
from tas.runs.summary import change, missed, percent, summary
from tas.search.module import mean_confidence
from tas.search.monitor import Distributions
from tas.search.task import open_search
from tas.space.derivation import argmax, derive, reachable
from tas.training.interrupts import interruptible
from tas.training.progress import RunBar
from tas.training.trainer import fit, make_trainer


def search(options: SearchOptions) -> Run:
    """Search, leave the results in the run's directory, print a summary; returns the finished run."""
    known = accuracies_alone(options)
    task = open_search(options)
    network, plan, budget, halves = task.network, task.plan, task.budget, task.halves
    run = Run.of(options, "search", label(options.network, options.data))
    module = task.module()
    timer = Timer()
    batches = len(halves.train_dataloader()["weights"])
    trainer = make_trainer(options, run, batches, [RunBar("search", options.flops_target), Distributions(), timer])
    with interruptible(run, f"tas search --resume {run.path}"):
        fit(trainer, module, halves, run, options)
        widths, depths = module.supernet.probabilities()
        found, likeliest = derive(task.space, widths, depths, budget), argmax(task.space, widths, depths)
        flops = exact_flops(plan, found)
        met = budget.holds(flops)
        around = [] if met else [count / task.flops_full for count in reachable(task.space, budget.target)]
        module.supernet.force(found)
        # The running statistics are those of many sampled networks; this one needs its own. Lightning has put the
        # module back on the CPU by now, and leaves it in the precision of the training.
        device = trainer.strategy.root_device
        update_bn(halves.train_dataloader()["weights"], module.supernet.float().to(device), device)
        val_accuracy = trainer.validate(module, halves, verbose=False)[0]["val_accuracy"]
        small = cut(network, plan, found, module.supernet.weights(found))
        ranking = rank(task, module.supernet, found, run, device, known) if options.rank else {}
    params_full, params = parameters(network), parameters(small)
    metrics = {
        "flops": flops,
        "flops_full": task.flops_full,
        "flops_ratio": flops / task.flops_full,
        "flops_target": options.flops_target,
        "target_met": met,
        "params": params,
        "params_full": params_full,
        "val_accuracy": val_accuracy,
        "confidence": mean_confidence(widths, depths),
        # What the distributions alone would choose, whatever it costs: how far the budget moved the choice.
        "likeliest": {
            "flops_ratio": exact_flops(plan, likeliest) / task.flops_full,
            "widths": dict(likeliest.widths),
            "depths": dict(likeliest.depths),
        },
        "seconds": timer.time_elapsed("train"),
        "seed": options.seed,
        **({} if met else {"reachable": around}),
        **ranking,
    }
    if trainer.is_global_zero:
        draw_architecture(plan, found).savefig(run.path / "architecture.png", dpi=150)
        write_text(run.space, f"{task.space}\n")
    run.finish(found, metrics, small)
    target = f"{options.flops_target:g} +- {options.tolerance:.0%}"
    images = f"{len(halves.weights_half)} + {len(halves.architecture_half)}"
    blocks = ", ".join(f"{stage} {depth} of {task.space.full.depths[stage]}" for stage, depth in found.depths.items())
    rows = [
        ("network", f"{options.network} on {options.data}, {images} images"),
        ("started from", task.source),
        ("FLOPs", change(task.flops_full, flops)),
        ("target", f"{target}: {'met' if met else missed('this search', around)}"),
        ("parameters", change(params_full, params)),
        ("blocks kept", blocks or "all"),
        ("accuracy", f"{percent(val_accuracy)} on the architecture half, with the supernet's weights"),
        ("confidence", f"{metrics['confidence']:.3f}"),
        *(describe(ranking) if ranking else []),
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
