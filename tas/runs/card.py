"""The model card of a run: README.md, in the form that model hubs read."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
import yaml
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.architecture import Architecture
from tas.config.files import read_yaml
from tas.runs.files import write_text
from tas.runs.provenance import code_version
from tas.runs.results import Result, SearchResult, TrainResult
from tas.runs.run import Run
from tas.runs.summary import change, millions, percent

CLASSES_NAMED = 20
"""Classes that are named one by one."""


@rank_zero_only
def write_card(run: Run, result: Result) -> None:
    """Write the card of a run whose other files are there.

    Args:
        run: Its config.yaml, images.json and architecture.json are read.
        result: What it measured.
    """
    options = read_yaml(str(run.config), run.config)
    architecture, data = Architecture.load(run.architecture), str(options["data"])
    smaller = result.flops < result.flops_full
    head: dict[str, Any] = {"library_name": "tas", "pipeline_tag": "image-classification"}
    head["tags"] = ["image-classification", *(["pruning"] if smaller else [])]
    if isinstance(result, TrainResult):
        accuracy = {"type": "accuracy", "name": "accuracy on all test images", "value": result.test_accuracy}
        entry = {
            "task": {"type": "image-classification"},
            "dataset": {"type": data, "name": data},
            "metrics": [accuracy],
        }
        head["model-index"] = [{"name": run.path.resolve().name, "results": [entry]}]
    kept = f", {result.flops_ratio:.1%} of its FLOPs" if smaller else ""
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {architecture.network} on {data}{kept}",
        *figures(result),
        *images_taken(run),
        *use(run, architecture),
        *making(result),
    ]
    write_text(run.card, "\n\n".join(parts) + "\n")


def figures(result: Result) -> list[str]:
    """What it costs and how good it is."""
    costs = {
        "FLOPs (multiply-adds of one image)": (result.flops_full, result.flops),
        "parameters": (result.params_full, result.params),
    }
    rows = [
        (name, change(full, own) if own < full else f"{millions(own)}, unpruned") for name, (full, own) in costs.items()
    ]
    if isinstance(result, TrainResult):
        rows.append(("accuracy on all test images", percent(result.test_accuracy)))
        if result.teacher_accuracy is not None:
            rows.append(("its teachers'", percent(result.teacher_accuracy)))
    elif isinstance(result, SearchResult):
        rows.append(("accuracy on held-out training images", percent(result.val_accuracy)))
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    if isinstance(result, TrainResult):
        return [table]
    return [table, "Its weights are what a training may start from; `tas train` trains it."]


def images_taken(run: Run) -> list[str]:
    """What its images must be like, and what it tells."""
    images = json.loads(run.images.read_text(encoding="utf-8"))
    fits = {
        "scale": "scaled to that size",
        "crop": "the shorter side brought to 256 / 224 of that size, of which the centre is taken",
    }
    colour = {1: "grey", 3: "RGB"}.get(images["channels"], f"{images['channels']} channels")
    size = images["size"]
    what = f"Images: {colour}, {size}x{size} pixels, {fits[images['fit']]}; (x / 255 - mean) / deviation with mean "
    what += f"{numbers(images['mean'])} and deviation {numbers(images['deviation'])}."
    names = list(map(str, images["classes"]))
    shown = ", ".join(names[:CLASSES_NAMED]) + (
        f" and {len(names) - CLASSES_NAMED} more" if len(names) > CLASSES_NAMED else ""
    )
    return [what, f"Classes, in the order of the logits: {shown} (`images.json`)."] if names else [what]


def numbers(values: Sequence[float]) -> str:
    """Numbers beside each other."""
    return ", ".join(f"{value:.4g}" for value in values)


def use(run: Run, architecture: Architecture) -> list[str]:
    """How it is loaded and asked."""
    a = architecture
    own = ":" in a.network
    needs = f"; `{a.network}` must be importable there" if own else ""
    code = [
        "    tas predict . image.png",
        "",
        "    import tas, torch",
        '    network = tas.load(".")  # from the folder that holds this file',
        f"    network(torch.zeros(1, {a.in_channels}, {a.image_size}, {a.image_size})).softmax(1)",
    ]
    text = (
        f"`architecture.json` has its widths and depths, `{run.weights.name}` its weights{needs}. With `tas` installed:"
    )
    return ["## Use", text, "\n".join(code)]


def making(result: Result) -> list[str]:
    """Where it is from."""
    versions = f"tas {version('tas')} ({code_version()}), torch {torch.__version__}, Python {platform.python_version()}"
    command, again = result.command, f"    tas {result.command} --config config.yaml --output ANOTHER"
    if isinstance(result, SearchResult) and result.derived_from is not None:
        # Its config.yaml is the search's, with other targets.
        command, again = "derive", f"    tas derive {result.derived_from} --output ANOTHER"
    words = f"By `tas {command}`, seed {result.seed}, in {result.seconds:.0f} s; {versions}."
    return ["## How it was made", words, again]
