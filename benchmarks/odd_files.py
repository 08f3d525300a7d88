"""Runs and files as a stranger or an accident leaves them, for benchmarks/faults.py: read in one way or refused in one
line, within a gigabyte, and nothing that is in them is run."""

import contextlib
import io
import os
import pickle
import random
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from in_process import run_here
from PIL import Image

import tas

ROOM = 2**30
"""Bytes that a command may take beyond what the process has."""

SLOW = 60.0
"""Seconds after which a command is said to hang."""

QUICK = ["--epochs", "1", "--train-images", "30", "--batch-size", "8"]
PLAIN = ["--network", "resnet20", *QUICK]
OF_RUN = ("architecture.json", "images.json", "metrics.json", "model.safetensors", "weights.pt", "config.yaml")
READERS = {
    "predict": (["predict", "taught", "image.png"], OF_RUN),
    "profile": (["profile", "taught", "--no-onnx"], OF_RUN),
    "export": (["export", "taught", "--format", "safetensors"], OF_RUN),
    "train --teacher": (["train", *PLAIN, "--kd", "--teacher", "taught"], OF_RUN),
    "train --weights": (["train", *PLAIN, "--weights", "taught"], OF_RUN),
    "train --architecture": (["train", *QUICK, "--init", "inherited", "--architecture", "run"], OF_RUN),
    "train --resume": (["train", "--resume", "begun"], ("config.yaml", "checkpoints/last.ckpt")),
    "derive": (
        ["derive", "run", "--flops-target", "0.6", "--tolerance", "0.3"],
        (*OF_RUN, "probes.json", "checkpoints/last.ckpt"),
    ),
    "search --weights": (["search", *PLAIN, "--weights", "given.pt"], ("given.pt",)),
    "prune --weights": (["prune", "--method", "l1", "--weights", "given.pt", "--train-images", "30"], ("given.pt",)),
    "search --config": (["search", *PLAIN, "--config", "given.yaml"], ("given.yaml",)),
    "compare --config": (["compare", "--config", "given.yaml"], ("given.yaml",)),
}
"""What reads files: its command, and which."""


def made(directory: Path) -> Path:
    """A directory with a search `run`, a training `taught`, it unfinished, `begun`, and files that options name."""
    home = directory / "whole"
    home.mkdir()
    for command in (
        ["search", *QUICK, "--probes", "20", "--draws", "2", "--held-out", "0.5", "--output", "run"],
        ["train", *PLAIN, "--output", "taught"],
    ):
        status, _, said = run_here(command, home)
        if status not in (0, 3):
            raise SystemExit(f"tas {' '.join(command)}: {said}")
    shutil.copytree(home / "taught", home / "begun")
    (home / "begun" / "metrics.json").unlink()
    for name in ("run", "taught"):
        torch.save(tas.load(home / name).state_dict(), home / name / "weights.pt")
    shutil.copy(home / "taught" / "weights.pt", home / "given.pt")
    shutil.copy(home / "run" / "config.yaml", home / "given.yaml")
    Image.new("L", (8, 8), 90).save(home / "image.png")
    return home


@contextlib.contextmanager
def within(room: int) -> Any:
    """Inside, memory beyond what there is already is limited."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file's content with some of it changed: bytes, a number, a stretch; or an end too early."""
    changed = bytearray(content)
    way = chance.randrange(4)
    if way == 0:
        return bytes(changed[: chance.randrange(len(changed) + 1)])
    if way == 1:
        for _ in range(chance.randrange(1, 9)):
            changed[chance.randrange(min(len(changed), chance.choice((300, 10**9))))] = chance.randrange(256)
    elif way == 2:
        digits = [place for place, byte in enumerate(changed[:20_000]) if 48 <= byte <= 57]
        if digits:
            place = chance.choice(digits)
            changed[place : place + 1] = chance.choice((b"-1", b"1e9", b"99999999999999", b"null", b'"x"', b"[]", b"0"))
    else:
        start = chance.randrange(len(changed) + 1)
        del changed[start : start + chance.randrange(1, 200)]
    return bytes(changed)


def wrong_end(status: int, said: str, seconds: float) -> str | None:
    """What is wrong with how a command ended; None where it is right."""
    if status not in (0, 2, 3) or "Traceback" in said:
        return f"status {status}: {said[-300:]}"
    lines = [line for line in said.splitlines() if line.startswith("tas ") and ": error: " in line]
    if status == 2 and len(lines) != 1:
        return f"refused by: {said[-300:]}"
    return f"{seconds:.0f} s" if seconds > SLOW else None


def damaged_files(count: int, chance: random.Random, directory: Path) -> dict[str, Any]:
    """A row of so many commands, each given a file that is damaged."""
    whole, ended, failed = made(directory), {"read": 0, "refused": 0}, list[str]()
    for number in range(count):
        name = chance.choice(list(READERS))
        command, files = READERS[name]
        home, file = directory / f"case-{number}", chance.choice(files)
        shutil.copytree(whole, home)
        path = place_of(home, command, file)
        path.write_bytes(damaged(path.read_bytes(), chance))
        if path.name == "weights.pt":
            path.with_name("model.safetensors").unlink()
        kept = path.read_bytes()
        began = time.monotonic()
        with within(ROOM):
            status, _, said = run_here([*command, *output_of(command)], home)
        wrong = wrong_end(status, said, time.monotonic() - began)
        if wrong:
            failed.append(f"{name}, {file}: {wrong}")
            (directory.parent / f"failed-{len(failed)}-{file.replace('/', '-')}").write_bytes(kept)
            print(failed[-1], flush=True)
        else:
            ended["refused" if status == 2 else "read"] += 1
        shutil.rmtree(home)
    return {"part": "damaged files", "tried": count, **ended, "failed": failed}


def output_of(command: list[str]) -> list[str]:
    """Where a command that leaves a run leaves it."""
    leaves = command[0] in ("search", "train", "prune", "derive") and "--resume" not in command
    return ["--output", "new"] if leaves else []


def place_of(home: Path, command: list[str], file: str) -> Path:
    """Where a file of `READERS` is."""
    run = next((name for name in ("run", "taught", "begun") if name in command), "")
    return home / file if file.startswith("given") else home / run / file


class Payload:
    """Reading it carelessly makes a directory."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def malicious_files(directory: Path) -> dict[str, Any]:
    """A row of every file of `READERS` with a pickle in its place that would make a directory."""
    whole, marker, ran, tried = made(directory), directory / "ran", list[str](), 0
    payload = Payload(marker)
    saved = io.BytesIO()
    torch.save({"state_dict": payload}, saved)
    pickles = {"torch.save": saved.getvalue(), "pickle": pickle.dumps(payload), "protocol 0": pickle.dumps(payload, 0)}
    places = {(name, file) for name, (_, files) in READERS.items() for file in files}
    for name, file in sorted(places):
        for kind, content in pickles.items():
            home = directory / f"case-{tried}"
            shutil.copytree(whole, home)
            path = place_of(home, READERS[name][0], file)
            path.write_bytes(content)
            if path.name == "weights.pt":
                path.with_name("model.safetensors").unlink()
            status, _, said = run_here([*READERS[name][0], *output_of(READERS[name][0])], home)
            tried += 1
            if marker.exists() or wrong_end(status, said, 0.0):
                ran.append(f"{name}, {file}, {kind}: ran {marker.exists()}, status {status}, {said[-200:]}")
                print(ran[-1], flush=True)
                shutil.rmtree(marker, ignore_errors=True)
            shutil.rmtree(home)
    pickle.loads(pickles["pickle"])  # a payload that does nothing would prove nothing
    return {
        "part": "malicious files",
        "places": len(places),
        "tried": tried,
        "harmless": tried - len(ran),
        "payload_works": marker.exists(),
        "failed": ran,
    }
