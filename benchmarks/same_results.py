"""Whether two revisions of TAS give the same results, bit for bit: for refactorings, which may change none.

python benchmarks/same_results.py BASE HEAD
python benchmarks/same_results.py main . --cases search networks --seeds 0 --keep ~/same

BASE and HEAD are revisions of this repository or directories that hold a checkout, uncommitted work included. Both run
side by side on the CPU, each with one thread. A line says of each result whether it is the same; what only HEAD has
is listed and is no difference. The exit status is 0 if all are the same, 1 if not or if a command fails, 2 for bad
input.

With --keep, what a commit's cases left is taken from DIR/COMMIT the next time; a directory's cases always run. Delete
DIR/COMMIT after another torch was installed or a case was changed here.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

GIT = ("git", "-C", str(Path(__file__).resolve().parents[1]))
CASES = ("search", "train", "compare", "networks")

# Not imported from networks.py, which imports TAS's insides: these are described in revisions that have others.
TORCHVISION = """resnet18 resnet50 wide_resnet50_2 resnext50_32x4d vgg16_bn mobilenet_v2 mobilenet_v3_small mnasnet1_0
    efficientnet_b0 regnet_y_400mf densenet121 googlenet inception_v3 squeezenet1_1 convnext_tiny shufflenet_v2_x1_0"""
TIMM = "resnet26d mobilenetv3_small_100 efficientnet_lite0 repvgg_a0"
NETWORKS = [f"torchvision/{name}" for name in TORCHVISION.split()] + [f"timm/{name}" for name in TIMM.split()]

COMPARE = """compare --methods uniform tas --training scratch-e kd --seeds 0 1 --epochs 5 --search.epochs 10
    --data digits --output out"""
MAIN = "import sys; from tas.cli import main; sys.exit(main(sys.argv[1:]))"
RUN_FILES = ("out/architecture.json", "out/metrics.json", "out/model.safetensors")

CODE_KEYS = ("commit", "search_commit")
"""Keys that say which code gave a result; those that say how long it took are known by their ending."""

SHOWN = 3
"""Differences of one file that are spelled out."""


class Case(NamedTuple):
    """A command that both revisions run, each in a directory of that name; "CHECKOUT" in it is replaced."""

    name: str
    arguments: list[str]
    files: Sequence[str]


class Side(NamedTuple):
    """One of the two revisions: BASE or HEAD, its code, and where its results go."""

    role: str
    checkout: Path
    home: Path


class Findings(NamedTuple):
    """What differs between two results, and what only HEAD's has."""

    differs: list[str]
    adds: list[str]


def cases_of(kinds: Sequence[str], seeds: Sequence[int]) -> list[Case]:
    """The cases of those kinds, in the order in which they run; a training brings the search that it needs."""
    cases = []
    for seed in seeds:
        last = ["--seed", str(seed), "--output", "out"]
        if "search" in kinds or "train" in kinds:
            search = ["CHECKOUT/search.py", "--flops-target", "0.5"]
            cases.append(Case(f"search-{seed}", [*search, "--strategy", "gumbel-mixture", *last], RUN_FILES))
            if "search" in kinds:
                sandwich = [*search, "--strategy", "sandwich", "--epochs", "5", *last]
                cases.append(Case(f"sandwich-{seed}", sandwich, RUN_FILES))
        if "train" in kinds:
            train = ["CHECKOUT/train.py", "--kd", "--architecture", f"../search-{seed}/out", *last]
            cases.append(Case(f"train-{seed}", train, RUN_FILES))
    if "compare" in kinds:
        cases.append(Case("compare", ["-c", MAIN, *COMPARE.split()], ["out/results.json"]))
    if "networks" in kinds:
        files = [file_of(name) for name in NETWORKS]
        cases.append(Case("networks", [str(Path(__file__).resolve()), "--describe"], files))
    return cases


def file_of(network: str) -> str:
    """The file that describes a network."""
    return f"{network.replace('/', '-')}.json"


def describe() -> None:
    """Write what the TAS that is imported finds in each network. Public names alone: all revisions have those."""
    import tas  # that of the revision, by PYTHONPATH

    for name in NETWORKS:
        torch.manual_seed(0)
        network = make(name).eval()
        size = 299 if name.endswith("inception_v3") else 224
        space = tas.search_space(network, torch.empty(1, 3, size, size), name=name)
        generator, drawn = random.Random(0), []
        for _ in range(3):
            widths = {width: generator.choice(candidates) for width, candidates in space.widths.items()}
            depths = {stage: generator.choice(candidates) for stage, candidates in space.depths.items()}
            small = tas.cut(network, space.plan, space.choose(widths, depths))
            drawn.append({"flops": tas.flops(small, (3, size, size)), "weights": digest(small)})
        found = {
            "space": str(space).splitlines(),
            "full": dataclasses.asdict(space.full),
            "widths": dict(space.widths),
            "depths": dict(space.depths),
            "smallest": dataclasses.asdict(space.smallest()),
            "drawn": drawn,
        }
        Path(file_of(name)).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def make(name: str) -> nn.Module:
    """A network of torchvision or timm with fresh weights."""
    import timm
    import torchvision

    library, _, model = name.partition("/")
    if library == "timm":
        return timm.create_model(model, num_classes=1000)
    # The two that have auxiliary classifiers, and warn unless they are told how to start.
    more = {"aux_logits": False, "init_weights": True} if model in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(model, num_classes=1000, **more)


def digest(network: nn.Module) -> str:
    """A digest of the weights, their names and their order."""
    total = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).numpy())
    return total.hexdigest()


def revision(given: str) -> str | Path:
    """The commit or the directory that is meant, for argparse."""
    ask = [*GIT, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{given}^{{commit}}"]
    asked = subprocess.run(ask, capture_output=True, text=True)
    if asked.returncode == 0:
        return asked.stdout.strip()
    if (Path(given) / "tas").is_dir() and (Path(given) / "search.py").is_file():
        return Path(given).resolve()
    raise argparse.ArgumentTypeError(f"{given!r} is no revision here and no directory that holds a checkout")


@contextmanager
def side_of(role: str, revision: str | Path, keep: Path, scratch: Path) -> Iterator[Side]:
    """BASE or HEAD with its code: a directory as it is, a commit as a worktree that is removed afterwards."""
    if isinstance(revision, Path):
        home = keep / f"uncommitted-{role}"
        shutil.rmtree(home, ignore_errors=True)  # it may hold what other code gave
        yield Side(role, revision, home)
        return
    checkout = scratch / role
    subprocess.run([*GIT, "worktree", "add", "--quiet", "--detach", checkout, revision], check=True)
    try:
        yield Side(role, checkout, keep / revision)
    finally:
        subprocess.run([*GIT, "worktree", "remove", "--force", checkout], check=True)


def run_cases(side: Side, cases: Sequence[Case]) -> None:
    """Run the cases that are not complete already, one after another; exits at the first that fails."""
    for case in cases:
        home = side.home / case.name
        complete = home / "complete"
        if complete.exists():
            print(f"{side.role}: {case.name} as it was kept", flush=True)
            continue
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        # The GPU's results may differ from run to run.
        settings = {"PYTHONPATH": str(side.checkout), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, *(argument.replace("CHECKOUT", str(side.checkout)) for argument in case.arguments)]
        log, began = home / "log.txt", time.monotonic()
        with open(log, "w", encoding="utf-8") as out:
            ended = subprocess.run(command, cwd=home, env=os.environ | settings, stdout=out, stderr=out)
        if ended.returncode:
            end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
            # Becomes the executor's exception, and with that the end of the main thread, status 1.
            sys.exit(f"{side.role}: {case.name} failed with exit status {ended.returncode}\n{end}")
        complete.touch()
        print(f"{side.role}: {case.name} took {time.monotonic() - began:.0f} s", flush=True)


def compare(base: Any, head: Any, findings: Findings, where: str = "") -> None:
    """Add to the findings what differs in two values of JSON files; null is as good as absent."""
    if isinstance(base, dict) and isinstance(head, dict):
        for key in base | head:
            if key in CODE_KEYS or key == "seconds" or key.endswith("_seconds"):
                continue
            inside = f"{where}.{key}" if where else key
            if key in base and key in head:
                compare(base[key], head[key], findings, inside)
            elif head.get(key) is not None:
                findings.adds.append(inside)
            elif base.get(key) is not None:
                findings.differs.append(f"{inside} is gone")
    elif isinstance(base, list) and isinstance(head, list):
        for place, (one, other) in enumerate(zip(base, head)):
            compare(one, other, findings, f"{where}[{place}]")
        if len(base) != len(head):
            findings.differs.append(f"{where or 'the list'} had {len(base)} entries, has {len(head)}")
    elif json.dumps(base) != json.dumps(head):  # as text, since 1 == True and nan != nan
        was, now = (textwrap.shorten(json.dumps(value), 80) for value in (base, head))
        findings.differs.append(f"{where} was {was}, is {now}")


def compare_weights(base: dict[str, torch.Tensor], head: dict[str, torch.Tensor]) -> Findings:
    """What differs between two state dicts, whatever their order."""
    differs = [f"{name} is {'gone' if name in base else 'new'}" for name in base.keys() ^ head.keys()]
    for name in base.keys() & head.keys():
        one, other = base[name], head[name]
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            differs.append(f"{name} was {one.dtype} {tuple(one.shape)}, is {other.dtype} {tuple(other.shape)}")
        elif not torch.equal(one, other):
            differs.append(f"{name}, {int((one != other).sum())} of {one.numel()} values")
    return Findings(sorted(differs), [])


def state_in(file: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file."""
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)


def compare_files(base: Path, head: Path) -> Findings:
    """What differs between two files that the same case left."""
    # Runs of earlier revisions have their weights under another name.
    base, head = (
        path if path.is_file() or path.suffix != ".safetensors" else path.with_name("weights.pt")
        for path in (base, head)
    )
    missing = [f"missing in {role}" for role, path in (("BASE", base), ("HEAD", head)) if not path.is_file()]
    if missing:
        return Findings(missing, [])
    if base.suffix in (".pt", ".safetensors"):
        one, other = map(state_in, (base, head))
        return compare_weights(one, other)
    findings = Findings([], [])
    compare(json.loads(base.read_text(encoding="utf-8")), json.loads(head.read_text(encoding="utf-8")), findings)
    return findings


def report(base: Path, head: Path, cases: Sequence[Case]) -> bool:
    """Print a line for each file and network, and one for all; returns whether everything is the same."""
    total, unlike = Counter[str](), Counter[str]()
    for case in cases:
        kind = "networks" if case.name == "networks" else "files"
        for file in case.files:
            differs, adds = compare_files(base / case.name / file, head / case.name / file)
            total[kind] += 1
            unlike[kind] += bool(differs)
            more = [f"and {len(differs) - SHOWN} more"] if len(differs) > SHOWN else []
            verdict = f"DIFFERS: {'; '.join(differs[:SHOWN] + more)}" if differs else "same"
            print(f"{case.name}/{file}: {verdict}" + (f"; adds {', '.join(adds)}" if adds else ""))
    differ = any(unlike.values())
    counts = [f"{unlike[kind]} of " * differ + f"{total[kind]} {kind}" for kind in ("files", "networks")]
    print(f"{'DIFFERS' if differ else 'same'}: {', '.join(counts)}")
    return not differ


def main() -> int:
    """Run the cases in both revisions and compare what they left; returns the exit status."""
    if sys.argv[1:2] == ["--describe"]:  # a case of a revision
        describe()
        return 0
    # Without a usage, so that an error is one line.
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS, formatter_class=formatter)
    parser.add_argument("base", metavar="BASE", type=revision)
    parser.add_argument("head", metavar="HEAD", type=revision)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="default: all of them")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="of search and train; default: 0 1")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="where results stay; default: a temporary directory")
    options = parser.parse_args()
    if options.base == options.head:
        parser.error(f"BASE and HEAD are the same, {options.base}")
    cases = cases_of(options.cases, options.seeds)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keep = (options.keep or scratch / "results").resolve()
        base = stack.enter_context(side_of("BASE", options.base, keep, scratch))
        head = stack.enter_context(side_of("HEAD", options.head, keep, scratch))
        with ThreadPoolExecutor(2) as pool:  # the side that does not fail ends its cases, so that they are kept
            list(pool.map(run_cases, (base, head), (cases, cases)))
        return 0 if report(base.home, head.home, cases) else 1


if __name__ == "__main__":
    sys.exit(main())
