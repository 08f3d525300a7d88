"""What TAS finds in every classification network of torchvision and in timm's families, beside what Torch-Pruning does.

    pip install -e ".[timm]"
    python benchmarks/networks.py --rows rows.jsonl --output docs/networks.md
    python benchmarks/networks.py --rows few.jsonl --networks torchvision/resnet18 timm/convnext_zepto_rms

A row a network, kept as soon as it is measured, by a process of its own (what one takes hours or all memory for stops
that one); the same command goes on where it was. --output writes the document of the rows, tables and all.

What is measured of a network, at the size of its images:

- read: which widths and stages are searched, what share of its FLOPs they reach, what is left alone. A layer counts as
  reached if a searched width gives or takes its channels, or if its block can be left out.
- forced and cut: the largest difference between the logits of the supernet and of the networks that are cut out of it
  (the smallest, and two of random widths and depths), as a share of the largest logit: numbers in the place of zeros
  and ones, random norms, evaluation, single precision. Before that `tas.check_supernet` has compared them in
  evaluation and training. FLOPs of the plan, `tas.flops` and, where TAS counts all of them, torch's counter halved have
  to be equal.
- exported: whether `torch.export` takes the smallest network, and whether what it makes gives the same.
- Torch-Pruning: whether its MagnitudePruner, at half of the channels of each layer, leaves a smaller network that gives
  logits of the same shape. As its own scripts do, it is told what the classifier is and which projections have heads.
"""

import argparse
import contextlib
import io
import json
import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch_pruning as tp
from apart import Measure, in_a_process
from networks_document import document
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import tas
from tas.architecture import Architecture
from tas.cost.count import parameters, uncounted
from tas.cost.measures import FLOPS
from tas.cutting.cut import Resizable, cut
from tas.errors import TasError, gist
from tas.networks import open_network
from tas.reading.plan import Layer
from tas.runs.provenance import code_version, processor_name
from tas.space.space import SearchSpace
from tas.supernet.check import lively
from tas.supernet.norms import CandidateNorm
from tas.supernet.supernet import Supernet

FAMILIES = Path(__file__).with_name("timm_families.txt")
"""The smallest network of each of timm's families: those whose names begin alike in one of its modules. What has no
classifier of its own gets one."""

CLASSES = 1000
SECONDS = {"tas": 3600, "torch-pruning": 120}
"""After which a network is given up. Torch-Pruning takes some seconds for nearly all, and for some of many branches
hours and all memory."""

HEAVY = 3e8
"""FLOPs from which on supernet and cut network are compared by smaller images, where the network takes any."""
SMALLER = 96


def all_networks() -> list[str]:
    """The networks of the table."""
    import torchvision

    of_torchvision = torchvision.models.list_models(module=torchvision.models)
    return [f"torchvision/{name}" for name in of_torchvision] + [
        f"timm/{name}" for name in FAMILIES.read_text().split()
    ]


def size_of(name: str) -> int:
    """Pixels of the images that a network is made for."""
    library, _, rest = name.partition("/")
    if library == "timm":
        from timm.models import get_pretrained_cfg

        config = get_pretrained_cfg(rest)
        return int(config.input_size[-1]) if config else 224
    return 299 if rest == "inception_v3" else 224


def measure(name: str) -> dict[str, Any]:
    """What TAS makes of a network; `refused` says why where it makes nothing."""
    torch.manual_seed(0)
    size, began = size_of(name), time.perf_counter()
    row: dict[str, Any] = {"network": name, "size": size, "refused": None}
    try:
        network = lively(open_network(name, CLASSES, 3).eval())  # some start with a classifier of zeros
        row["params"] = parameters(network)
        row["flops"] = tas.flops(network, (3, size, size))
        row["uncounted"] = round(uncounted(network, (3, size, size)), 4)
        space = tas.search_space(network, torch.empty(1, 3, size, size), name=name)
        row |= what_is_searched(space)
        row["difference"] = largest_difference(name, network, space)
        row |= exported(network, space)
    except TasError as error:
        row["refused"] = gist(error, length=300)
    except Exception as error:  # a fault of TAS, and shown as such
        row["refused"] = f"a traceback: {gist(error, length=160) or type(error).__name__}"
    return row | {"seconds": round(time.perf_counter() - began, 1)}


def what_is_searched(space: SearchSpace) -> dict[str, Any]:
    """Widths, stages, and what they reach."""
    widths = {name for name, candidates in space.widths.items() if len(candidates) > 1}
    stages = {name for name, candidates in space.depths.items() if len(candidates) > 1}
    full = FLOPS.exact(space.plan, space.full)

    def reached(layer: Layer) -> bool:
        sources = {layer.writes.source, *(segment.source for segment in layer.reads)}
        return bool(sources & (widths | stages)) or (layer.stage in stages and layer.block > 0)

    fixed = sum(flops_of(layer, space) for layer in space.plan.layers if not reached(layer))
    return {
        "widths": len(widths),
        "layers": len({layer.name for layer in space.plan.layers}),
        "stages": [max(space.depths[name]) for name in space.depths if name in stages],
        "searchable": round(1 - fixed / full, 4),
        "smallest": round(FLOPS.exact(space.plan, space.smallest()) / full, 4),
        "left_alone": {layer: why for layer, why in space.plan.left_alone.items() if "output" not in why},
    }


def flops_of(layer: Layer, space: SearchSpace) -> int:
    """A layer's multiply-adds in the unpruned network."""
    depths, plan = space.full.depths, space.plan
    inputs = sum(plan.channels(plan.resolve(part.source, depths)) * part.repeat for part in layer.reads)
    return layer.taps * layer.positions * inputs * plan.channels(layer.writes.source) * layer.writes.repeat


def largest_difference(name: str, network: nn.Module, space: SearchSpace) -> float:
    """Between supernet and cut networks, as a share of the largest logit. TasError where they cannot be compared."""
    if FLOPS.exact(space.plan, space.full) > HEAVY:
        with contextlib.suppress(TasError):  # some take images of their own size alone
            space = tas.search_space(network, torch.empty(1, 3, SMALLER, SMALLER), name=name)
    tas.check_supernet(network, space)
    supernet = Supernet(network, space)
    size, generator, worst = space.full.image_size, random.Random(0), 0.0
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    for module in supernet.modules():
        if isinstance(module, CandidateNorm):
            nn.init.uniform_(module.scales, 0.5, 1.5)
            nn.init.normal_(module.shifts, std=0.1)
    compared = [space.full if isinstance(network, Resizable) else space.smallest()]
    with torch.no_grad():
        supernet.train()(images)  # gives the norms statistics
        supernet.eval()
        for architecture in (*compared, *(random_architecture(space, generator) for _ in range(2))):
            supernet.force(architecture)
            small = cut(network, space.plan, architecture, supernet.weights(architecture)).eval()
            logits = small(images)
            difference = float((supernet(images) - logits).abs().max() / logits.abs().max())
            if not math.isfinite(difference):  # `max` would pass over it
                raise AssertionError(f"{name}: its logits are zero or no numbers, and tell nothing apart")
            worst = max(worst, difference)
            planned = FLOPS.exact(space.plan, architecture)
            if tas.flops(small, images.shape[1:]) != planned:
                raise AssertionError(f"{name}: FLOPs by plan and by count disagree")
            if uncounted(small, images.shape[1:]) == 0 and torch_flops(small, images[:1]) != planned:
                raise AssertionError(f"{name}: FLOPs by torch's counter and by plan disagree")
    return worst


def exported(network: nn.Module, space: SearchSpace) -> dict[str, Any]:
    """Whether torch.export takes the smallest network, and bytes of the files of weights."""
    small = cut(network, space.plan, space.smallest()).eval()
    size = space.full.image_size
    images = torch.randn(2, 3, size, size)
    row: dict[str, Any] = {"bytes": [saved_bytes(network), saved_bytes(small)]}
    try:
        program = torch.export.export(small, (images,), strict=False).module()
    except Exception as error:
        return row | {"exported": gist(error, length=120) or type(error).__name__}
    with torch.no_grad():
        same = torch.allclose(program(images), small(images), rtol=1e-3, atol=1e-5)
    return row | {"exported": True if same else "the exported network gives other logits"}


def saved_bytes(network: nn.Module) -> int:
    """The size of a file of a network's weights."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return len(file.getbuffer())


def random_architecture(space: SearchSpace, generator: random.Random) -> Architecture:
    """Any architecture of a space."""
    widths = {name: generator.choice(candidates) for name, candidates in space.widths.items()}
    return space.choose(widths, {name: generator.choice(candidates) for name, candidates in space.depths.items()})


def torch_flops(network: nn.Module, images: Tensor) -> int:
    """Multiply-adds by torch's own counter, which counts two for each."""
    with FlopCounterMode(display=False) as counter:
        network.requires_grad_(False)(images)  # the counter's hooks follow gradients, of which there are none
    return counter.get_total_flops() // 2


def by_torch_pruning(name: str) -> dict[str, Any]:
    """What Torch-Pruning leaves of a network at half of the channels of each layer."""
    os.environ["TIMM_FUSED_ATTN"] = "0"
    torch.manual_seed(0)
    network, size = open_network(name, CLASSES, 3).eval().requires_grad_(True), size_of(name)
    images = torch.randn(1, 3, size, size)
    before = parameters(network), tp.utils.count_ops_and_params(network, images)[0]
    ignored, heads = [], {}
    for module in network.modules():
        outputs = getattr(module, "out_features", getattr(module, "out_channels", None))
        if outputs == CLASSES or isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
            ignored.append(module)
        for projection in ("qkv", "qkv_proj"):
            if hasattr(module, "num_heads") and isinstance(getattr(module, projection, None), nn.Linear):
                heads[getattr(module, projection)] = module.num_heads
    layers = getattr(getattr(network, "encoder", None), "layers", None)
    round_to = layers[0].num_heads if layers is not None and hasattr(layers[0], "num_heads") else None
    pruner = tp.pruner.MagnitudePruner(
        network, images, tp.importance.MagnitudeImportance(p=1), pruning_ratio=0.5, ignored_layers=ignored,
        num_heads=heads, round_to=round_to,
    )  # fmt: skip
    pruner.step()
    if hasattr(network, "hidden_dim") and hasattr(network, "conv_proj"):  # torchvision's ViT reads it
        network.hidden_dim = network.conv_proj.out_channels
    for module in network.modules():
        if getattr(module, "qkv", None) in heads:
            module.num_heads = pruner.num_heads[module.qkv]
            module.attn_dim = module.qkv.out_features // 3
            module.head_dim = module.attn_dim // module.num_heads
    with torch.no_grad():
        logits = network(images)
    if logits.shape != (1, CLASSES):
        raise ValueError(f"logits of the shape {tuple(logits.shape)}")
    left = parameters(network) / before[0], tp.utils.count_ops_and_params(network, images)[0] / before[1]
    if left[0] >= 1:
        raise ValueError("nothing is pruned")
    return {"network": name, "failed": None, "params": round(left[0], 4), "flops": round(left[1], 4)}


KINDS: dict[str, Measure] = {"tas": measure, "torch-pruning": by_torch_pruning}

WRONG = {"tas": "refused", "torch-pruning": "failed"}
"""The key of a row for what went wrong."""


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The rows that there are."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def missing(file: Path, networks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What has to be measured yet."""
    done = {(row["kind"], row["network"]) for row in rows_of(file)}
    yield from ((kind, name) for kind in KINDS for name in networks if (kind, name) not in done)


def main() -> None:
    """Measure what is missing, then write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, help="a file of JSON lines, gone on with")
    parser.add_argument("--output", type=Path, help="the document")
    parser.add_argument("--networks", nargs="+", help="others than all")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("torch", "torchvision", "timm", "torch_pruning")}
    machine = {"machine": processor_name(), "commit": code_version(), **versions}
    networks = options.networks or all_networks()
    for kind, name in missing(options.rows, networks):
        row = {"kind": kind, **in_a_process(KINDS[kind], name, SECONDS[kind], WRONG[kind]), **machine}
        with options.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(*[f"{key} {value}" for key, value in row.items() if key not in machine], sep="  ", flush=True)
    if options.output:
        options.output.write_text(document(rows_of(options.rows), networks), encoding="utf-8")


if __name__ == "__main__":
    main()
