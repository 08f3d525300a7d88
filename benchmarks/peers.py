"""Other tools' pruning against `tas`: the same work, from the same trained teacher, at the same FLOPs, over seeds.

    pip install -e ".[peers]"
    python benchmarks/peers.py --network resnet20 mobilenetv2 --data folder --data-dir IMAGES --image-size 16 \
        --teacher-epochs 60 --epochs 30 --output runs/peers --json runs/peers/rows.json
    python benchmarks/peers.py --methods uniform tp-l1 fastnas tas-asked --data digits --flops-targets 0.5 --seeds 0 \
        --teacher-epochs 2 --epochs 1 --output runs/peers-digits

All other options are those of `tas compare`, which carries it out in OUTPUT/NETWORK and goes on where it was: each seed
trains the unpruned network once, every method makes it smaller, and what is left is fine-tuned alike, taught by it. All
FLOPs are counted by `tas.flops`. Methods, beside those of `tas compare`:

    tp-l1, tp-taylor, tp-group-norm, tp-isomorphic    Torch-Pruning's, in small steps as in its own benchmarks
    tp-l1-limited, tp-group-norm-limited              the same with its limit, see LIMIT
    fastnas                                           NVIDIA Model-Optimizer's; the extra `peers` installs it
    tas-asked                                         `tas search --strategy sandwich --epochs 0`, which trains nothing
    tas-sandwich                                      the same after --search-epochs of training from it

A line of the circumstances and a row a network are printed; then, in sentences, who missed its target by more than 2 %.
`search_seconds` is the time to find the network, `whole_seconds` that and the fine-tuning; the teacher has its own row.
"""

import argparse
import copy
import json
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torch_pruning as tp
from torch import nn

from tas.cli import main as tas
from tas.comparison.methods import UNPRUNED
from tas.cost.measures import MEASURES
from tas.errors import TasError, explained, gist
from tas.pruning.channels import Importance, pruner_options
from tas.pruning.task import Pruned, PruneTask
from tas.runs.provenance import code_version, processor_name

STEPS = 400
"""In which Torch-Pruning would take all channels, as in its own benchmarks; it stops at the target."""

LIMIT = 0.75
"""Share of a layer's channels beyond which Torch-Pruning takes no more of it, where it is limited. It looks before each
step, which may take more than that at once."""

TOLERANCE = 0.02
"""How far from its target a network may be, as a share of the target, before it is said."""

PEERS = {
    "tp-l1": "peers:l1",
    "tp-taylor": "peers:taylor",
    "tp-group-norm": "peers:group_norm",
    "tp-isomorphic": "peers:isomorphic",
    "tp-l1-limited": "peers:l1_limited",
    "tp-group-norm-limited": "peers:group_norm_limited",
    "fastnas": "peers_fastnas:fastnas",
}
"""Name -> the function, as `tas prune --method` takes it."""

METHODS = ("uniform", "shallow", "balanced", *PEERS, "tas-asked", "tas-sandwich")

OPTIONAL = {"fastnas": ("modelopt", "torchprofile", "requests")}
"""Method -> the modules that it needs beside what `tas` does."""

BeforeStep = Callable[[nn.Module], None]


@dataclass(frozen=True)
class Row:
    """One network, found and fine-tuned, or the unpruned one."""

    network: str
    target: float
    """FLOPs aimed at, as a share of the unpruned network's."""
    method: str
    seed: int
    flops_ratio: float
    """FLOPs that are left, likewise."""
    off_target: float
    """How far from the target, as a share of it; below 0 for fewer FLOPs."""
    test_accuracy: float
    """After the fine-tuning, on all test images, from 0 to 1."""
    search_seconds: float
    whole_seconds: float

    @property
    def missed(self) -> bool:
        """Whether the target is missed by more than may be left unsaid."""
        return abs(self.off_target) > TOLERANCE


def l1(task: PruneTask) -> Pruned:
    """Torch-Pruning by the L1 norm of all weights that make or read a channel, their norms' scales included."""
    return step_by_step(task, tp.importance.MagnitudeImportance(p=1))


def group_norm(task: PruneTask) -> Pruned:
    """Torch-Pruning by the L2 norm of the same (Fang et al. 2023, "DepGraph"), without its sparse training."""
    return step_by_step(task, tp.importance.GroupMagnitudeImportance(p=2))


def taylor(task: PruneTask) -> Pruned:
    """Torch-Pruning by how much the loss changes without a channel, to first order, asked anew in every step."""
    return step_by_step(task, tp.importance.TaylorImportance(), before=gradients(task))


def isomorphic(task: PruneTask) -> Pruned:
    """The same, ranked apart among layers of one kind (Fang et al. 2024, "Isomorphic Pruning for Vision Models")."""
    return step_by_step(task, tp.importance.TaylorImportance(), before=gradients(task), isomorphic=True)


def l1_limited(task: PruneTask) -> Pruned:
    """As `l1`, with the tool's own remedy where ranking all layers together takes too much of one."""
    return step_by_step(task, tp.importance.MagnitudeImportance(p=1), limit=LIMIT)


def group_norm_limited(task: PruneTask) -> Pruned:
    """As `group_norm`, limited likewise."""
    return step_by_step(task, tp.importance.GroupMagnitudeImportance(p=2), limit=LIMIT)


def gradients(task: PruneTask) -> BeforeStep:
    """What gives a network the gradients of the loss on a few training batches, norms in evaluation."""
    device = device_of(task)
    batches = [(images.to(device), labels.to(device)) for images, labels in task.judging_batches()]

    def accumulate(network: nn.Module) -> None:
        network.zero_grad()
        for images, labels in batches:
            F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]

    return accumulate


def step_by_step(
    task: PruneTask,
    importance: Importance,
    before: BeforeStep | None = None,
    isomorphic: bool = False,
    limit: float = 1.0,
) -> Pruned:
    """Torch-Pruning's way to a budget: small steps over all layers together, importances anew in each, until the
    target is passed. The last network above the target is taken instead if it is nearer.

    Args:
        task: What to prune.
        importance: Of the channels of one group.
        before: Called with the network before each step.
        isomorphic: Whether groups of other kinds of layers are ranked apart.
        limit: As `LIMIT`.

    Raises:
        TasError: The network cannot be pruned, or not into one that `tas` knows.
    """
    count, target = MEASURES[task.budget.measure.name].count, task.budget.target
    network = copy.deepcopy(task.network).to(device_of(task)).eval().requires_grad_(True)
    options = pruner_options(task, network)
    options |= {"example_inputs": torch.zeros(1, *task.input_shape, device=device_of(task)), "max_pruning_ratio": limit}
    try:
        pruner = tp.pruner.BasePruner(
            network, importance=importance, pruning_ratio=1.0, iterative_steps=STEPS, isomorphic=isomorphic, **options
        )
        cost = above = count(network, task.input_shape)
        larger = network
        while cost > target and pruner.current_step < STEPS:
            larger, above = copy.deepcopy(network), cost
            if before is not None:
                before(network)
            pruner.step()
            cost = count(network, task.input_shape)
    except Exception as error:  # it raises what it likes
        raise TasError(f"Torch-Pruning cannot prune {task.full.network} ({explained(error)})") from None
    nearer = larger if abs(above - target) < abs(cost - target) else network
    return read_off(task, nearer, (cost, above))


def read_off(task: PruneTask, small: nn.Module, around: Sequence[int] = ()) -> Pruned:
    """A network that another tool left, as one of `tas`, with the weights that it has.

    Args:
        task: Of which the network was made.
        small: Layers under the unpruned network's names, some of them narrower.
        around: Costs next to the target that the tool reaches.

    Raises:
        TasError: `tas` cannot build a network of these widths, or it has other weights.
    """
    state = {name: tensor.cpu() for name, tensor in small.state_dict().items()}
    repeats = {layer.name: layer.writes.repeat for layer in task.plan.layers}
    widths = {name: len(state[f"{name}.weight"]) // repeats[name] for name in task.full.widths}
    architecture = task.full.with_counts(widths, task.full.depths)
    network = task.fresh(architecture)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise TasError(
            f"{task.options.pruning.method} leaves of {task.full.network} what tas cannot build: {gist(error)}"
        ) from None
    return Pruned(architecture, network, task.cost(architecture), tuple(sorted(set(around))))


def device_of(task: PruneTask) -> torch.device:
    """Where a peer computes: on the GPU if there is one, unless the run asks for the CPU."""
    gpu = torch.cuda.is_available() and task.options.machine.accelerator != "cpu"
    return torch.device("cuda" if gpu else "cpu")


def variants(search_epochs: int) -> dict[str, dict[str, Any]]:
    """The peers, and the searches from the teacher, as `tas compare --variants` has them."""
    asked = {"method": "tas", "strategy": "sandwich", "init": "teacher", "epochs": 0}
    searches = {"tas-asked": asked, "tas-sandwich": asked | {"epochs": search_epochs, "lr": 0.02}}
    return {name: {"method": function} for name, function in PEERS.items()} | searches


def compare_all(options: argparse.Namespace, others: Sequence[str]) -> tuple[int, list[Row]]:
    """`tas compare` of each network, until one is refused or interrupted; the worst exit status, and all rows."""
    worst, rows = 0, []
    for network in options.network:
        status, found = compare(network, options, others)
        worst = max(worst, status)
        rows += found
        if status and not found:
            break
    return worst, rows


def compare(network: str, options: argparse.Namespace, others: Sequence[str]) -> tuple[int, list[Row]]:
    """`tas compare` of one network; returns its exit status, and a row for every training, none if it refused.

    Args:
        network: Its name.
        options: Those of this script.
        others: Those of the command, as they were typed; they win over the defaults that come before them.
    """
    home = options.output / re.sub("[/:]", "-", network)
    before, _ = results_of(home)
    status = tas(
        [
            "compare",
            *("--flops-targets", "0.5", "0.25", "--seeds", "0", "1", "2"),
            *others,
            *("--network", network, "--output", str(home), "--methods", *options.methods),
            *("--training", "finetune+kd", "--variants", json.dumps(variants(options.search_epochs))),
        ]
    )
    written, results = results_of(home)
    return status, [row_of(network, result) for result in results] if written != before else []


def results_of(home: Path) -> tuple[int, list[dict[str, Any]]]:
    """When a comparison's results were written, in ns, and its rows; 0 and none where there are none."""
    file = home / "results.json"
    return (file.stat().st_mtime_ns, json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else (0, [])


def row_of(network: str, result: Mapping[str, Any]) -> Row:
    """A row of one of the comparison's."""
    return Row(
        network=network,
        target=result["target"],
        method=result["method"],
        seed=result["seed"],
        flops_ratio=round(result["flops_ratio"], 4),
        off_target=round(result["flops_ratio"] / result["target"] - 1, 4),
        test_accuracy=round(result["test_accuracy"], 4),
        search_seconds=round(result["search_seconds"], 1),
        whole_seconds=round(result["search_seconds"] + result["train_seconds"], 1),
    )


def circumstances() -> dict[str, object]:
    """Machine, versions and commit."""
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch-pruning": installed("torch-pruning"),
        "nvidia-modelopt": installed("nvidia-modelopt"),
        "commit": code_version(),
    }


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def missing(methods: Sequence[str]) -> str | None:
    """What is to be installed for these methods, in a sentence; None if nothing is."""
    for method in methods:
        lacking = [module for module in OPTIONAL.get(method, ()) if find_spec(module) is None]
        if lacking:
            return f'--methods: {method} needs {" and ".join(lacking)}: pip install -e ".[peers]", or leave it out'
    return None


def main() -> int:
    """Compare, print and write; returns the exit status, that of `tas compare`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--network", nargs="+", default=["resnet20", "mobilenetv2"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help=f"default: {' '.join(METHODS)}")
    parser.add_argument("--search-epochs", type=int, default=30, help="of tas-sandwich")
    parser.add_argument("--output", type=Path, required=True, help="directory, in it one a network for tas compare")
    parser.add_argument("--json", type=Path, help="a file for circumstances and rows")
    options, others = parser.parse_known_args()
    if (lacking := missing(options.methods)) is not None:
        print(f"peers.py: error: {lacking}", file=sys.stderr)
        return 2
    status, rows = compare_all(options, others)
    if not rows:
        return status
    around = circumstances()
    for line in (around, *map(asdict, rows)):
        print(json.dumps(line))
    for row in rows:
        if row.missed and row.method != UNPRUNED:
            print(
                f"{row.method} missed the target {row.target:g} of {row.network}, seed {row.seed}, by "
                f"{row.off_target:+.1%}: {row.flops_ratio:.4f} of the FLOPs"
            )
    if options.json is not None:
        found = {"circumstances": around, "rows": [asdict(row) for row in rows]}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
