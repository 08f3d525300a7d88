"""What becomes of runs that are killed, of bad input, of odd searches, and of a process that searches again and again.

    python benchmarks/faults.py --json ROWS --parts kills refusals malicious damaged odd soak \
        [--kills 40] [--cases 200] [--minutes 60]
    python benchmarks/faults.py --quick        # all refusals

- kills: a search of each strategy, a distillation and a front are run once unbroken; then processes of the same command
  are killed (SIGKILL, with all that they have started) at random moments, and the run gone on with, until so many were
  killed. What a run leaves that got to its end is compared with the unbroken one's, byte by byte, but for times.
- refusals: each option of each command gets a value of a wrong type, and more by hand; refused is: status 2, one line
  on stderr, nothing on stdout, no run left.
- malicious: every file that a command reads, with pickles in its place that would run code (benchmarks/odd_files.py).
- damaged: the same files with some of them changed, at random, while memory is limited to a gigabyte more.
- odd: searches of any network, data and options, drawn at random (benchmarks/odd_searches.py).
- soak: short searches in one process; its memory, open files and child processes after each.

Exits with 1 where a run was lost or differs, an input was not refused, a search failed, or memory grew by 2 % or more.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from in_process import run_here
from odd_files import damaged_files, malicious_files
from odd_searches import odd_searches

from tas.cli import COMMANDS
from tas.config.checks import flag
from tas.runs.provenance import code_version, processor_name

SEARCH = ["search", "--epochs", "3", "--batch-size", "16", "--train-images", "600"]
KILLED = {
    "search, sandwich": [*SEARCH, "--probes", "60", "--draws", "40"],
    "search, gumbel-mixture": [*SEARCH, "--strategy", "gumbel-mixture", "--warmup", "0.3"],
    "train --kd": [
        "train",
        "--kd",
        "--epochs",
        "3",
        "--batch-size",
        "16",
        "--architecture",
        "found",
        "--teacher",
        "taught",
    ],
    "derive --front": ["derive", "found", "--front", "6"],
}
"""What is killed; `found` is a search that was not, `taught` an unpruned network."""

OFTEN = ["--checkpoint-every", "4steps", "--keep-checkpoints", "2"]

WARM = 5
"""Searches of a soak before its first figure: caches fill."""


def started(arguments: list[str], directory: Path) -> subprocess.Popen[str]:
    """A command as a process that leads a group."""
    return subprocess.Popen(
        [sys.executable, "-m", "tas", *arguments],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def whole(arguments: list[str], directory: Path) -> float:
    """Run a command to its end; returns its seconds."""
    began, process = time.monotonic(), started(arguments, directory)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"tas {' '.join(arguments)} ended with {process.returncode}: {said[-500:]}")
    return time.monotonic() - began


def left(run: Path) -> dict[str, Any]:
    """What a run leaves, but for times, pictures and TensorBoard's files, whose bytes have the time in them."""
    names = ("architecture.json", "model.safetensors", "curves.csv", "distributions.csv", "probes.json", "front.csv")
    found: dict[str, Any] = {name: (run / name).read_bytes() for name in names if (run / name).exists()}
    if (run / "metrics.json").exists():
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        found["metrics.json"] = {key: value for key, value in metrics.items() if key != "seconds"}
    return found


def kills(name: str, count: int, chance: random.Random, directory: Path) -> dict[str, Any]:
    """A row of one command."""
    command = KILLED[name]
    resumable = command[0] != "derive"
    command = [*command, *(OFTEN if resumable else [])]
    seconds = whole([*command, "--output", "unbroken"], directory)
    expected = left(directory / "unbroken")
    killed, ended, same, lost, different = 0, 0, 0, list[str](), list[str]()
    while killed < count:
        run, beaten = directory / f"broken-{ended}", 0
        while True:
            arguments = [*command, "--output", run.name]
            if resumable and (run / "config.yaml").exists():
                arguments = [command[0], "--resume", run.name]
            process, said = started(arguments, directory), ""
            with contextlib.suppress(subprocess.TimeoutExpired):
                # The last kills of a run come early, so that it gets to its end.
                process.wait(chance.uniform(0.0, seconds) if killed < count and beaten < 8 else None)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                killed, beaten = killed + 1, beaten + 1
                if not any((run / last).exists() for last in ("metrics.json", "front.csv")):
                    continue  # else it came after the last file
            elif process.wait():
                said = process.communicate()[1]
            break
        ended += 1
        if said:
            lost.append(said.strip().splitlines()[-1][:200])
            continue
        found = left(run)
        same += found == expected
        different += [file for file in expected if found.get(file) != expected[file]]
    return {
        "part": "kills",
        "command": name,
        "kills": killed,
        "runs": ended,
        "identical": same,
        "different": different,
        "lost": lost,
    }


def refusals(directory: Path) -> dict[str, Any]:
    """A row of all bad inputs."""
    tried, taken = 0, list[str]()
    for arguments in bad_inputs():
        before = sorted(directory.rglob("*"))
        status, out, said = run_here(arguments, directory)
        tried += 1
        one_line = said.count("\n") == 1 and not out
        if status != 2 or not one_line or sorted(directory.rglob("*")) != before:
            taken.append(f"{' '.join(arguments)}: status {status}, {said[-200:]}")
    return {"part": "refusals", "tried": tried, "refused_in_one_line": tried - len(taken), "others": taken}


def bad_inputs() -> Iterator[list[str]]:
    """Command lines that have to be refused."""
    for name, command in COMMANDS.items():
        for key, option in command.options.listed().items():
            if option.kind is not bool and "str" not in str(option.kind).replace("dict[str", "dict["):
                yield [name, f"{flag(key)}=nonsense"]
            if option.kind is int:
                yield [name, f"{flag(key)}=1.5"]
            yield [name, f"{flag(key)}x=1"]
        yield [name, "--config", "missing.yaml"]
        yield [name, "--config", "."]
        yield [name, "--recipe", "missing"]
        yield [name, "--resume", "missing"]
    for target in ("0", "-1", "1.5", "nan", "inf", "5ms", "M", "0k", "1e400"):
        yield ["search", f"--flops-target={target}"]
        yield ["prune", f"--params-target={target}"]
    for path in ("missing", ".", "/dev/null", "\0"):
        yield from (["predict", path, "a.png"], ["profile", path], ["export", path], ["derive", path])
        yield ["train", "--architecture", path]
        yield ["search", "--weights", path]
    for network in ("resnet21", "torchvision/resnet", "timm/", "os:system", "nothing:make", "", "../resnet20", "a b"):
        yield ["search", "--network", network]


def soak(minutes: float, directory: Path) -> dict[str, Any]:
    """A row of a process that searches again and again."""
    figures, until = list[tuple[int, int, int]](), time.monotonic() + 60 * minutes
    short = ["search", "--epochs", "1", "--train-images", "200", "--probes", "30", "--draws", "10", "--workers", "1"]
    while time.monotonic() < until or len(figures) <= WARM:
        status, _, said = run_here([*short, "--output", f"run-{len(figures)}"], directory)
        if status:
            raise SystemExit(f"search {len(figures)} ended with {status}: {said[-500:]}")
        figures.append((memory(), len(os.listdir("/proc/self/fd")), children()))
    (first, files_first, _), (last, files_last, processes) = figures[WARM], figures[-1]
    return {
        "part": "soak",
        "minutes": minutes,
        "searches": len(figures),
        "memory_after_warming_up": first,
        "memory_at_the_end": last,
        "growth": round(last / first - 1, 4),
        "memory_of_tenths": [figures[WARM + (len(figures) - 1 - WARM) * part // 10][0] for part in range(11)],
        "open_files": [files_first, files_last],
        "processes_left": processes,
    }


def memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def children() -> int:
    """Child processes of this one."""
    return sum(
        len(Path(task, "children").read_text(encoding="ascii").split()) for task in Path("/proc/self/task").iterdir()
    )


def good(row: dict[str, Any]) -> bool:
    """Whether a row is what it has to be."""
    if row["part"] == "kills":
        return bool(not row["lost"] and row["identical"] == row["runs"])
    if row["part"] != "soak":
        return not row.get("others") and not row.get("failed") and row.get("payload_works", True)
    files = row["open_files"]
    return bool(row["growth"] < 0.02 and files[0] == files[1] and not row["processes_left"])


def main() -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="a file of JSON lines to which rows are added")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("kills", "refusals", "malicious", "damaged", "odd", "soak"),
        default=["kills", "refusals", "malicious"],
    )
    parser.add_argument("--commands", nargs="+", choices=KILLED, default=list(KILLED), help="of the kills")
    parser.add_argument("--kills", type=int, default=40, help="of each command")
    parser.add_argument("--cases", type=int, default=200, help="of the odd searches, and of the damaged files")
    parser.add_argument("--minutes", type=float, default=60, help="of the soak")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="refusals alone")
    options = parser.parse_args()
    if options.quick:
        options.parts = ["refusals"]
    chance, rows = random.Random(options.seed), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        for part in options.parts:
            (directory / part).mkdir()
            if part == "kills":
                prepare(directory / part, options.commands)
                rows += [added(kills(name, options.kills, chance, directory / part / str(number)), options)
                         for number, name in enumerate(options.commands)]  # fmt: skip
            elif part == "refusals":
                rows.append(added(refusals(directory / part), options))
            elif part == "malicious":
                rows.append(added(malicious_files(directory / part), options))
            elif part == "damaged":
                rows.append(added(damaged_files(options.cases, chance, directory / part), options))
            elif part == "odd":
                rows.append(added(odd_searches(options.cases, chance, directory / part), options))
            else:
                rows.append(added(soak(options.minutes, directory / part), options))
    return 0 if all(map(good, rows)) else 1


def prepare(directory: Path, commands: list[str]) -> None:
    """What commands start from, beside each of them."""
    for number, name in enumerate(commands):
        home = directory / str(number)
        home.mkdir()
        if "found" in KILLED[name]:
            whole([*KILLED["search, sandwich"], "--output", "found"], home)
        if "taught" in KILLED[name]:
            whole(["train", "--network", "resnet20", "--data", "digits", "--epochs", "2", "--output", "taught"], home)


def added(row: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """A row with where it was measured, printed and kept."""
    machine = {"machine": processor_name(), "torch": torch.__version__, "commit": code_version()}
    row |= {"seed": options.seed, **machine}
    print(json.dumps(row), flush=True)
    if options.json is not None:
        with options.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return row


if __name__ == "__main__":
    sys.exit(main())
