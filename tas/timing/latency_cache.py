"""Times measured before, in files of the user's cache directory: one for each setting, machine and version."""

import fcntl
import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import torch

from tas.inputs.json_text import read_json
from tas.runs.console import warn
from tas.runs.files import write_text
from tas.runs.provenance import gpu_name, processor_name
from tas.timing.onnx_runtime import runtime_version
from tas.timing.setting import Setting

LARGEST_CACHE = 32 * 2**20
"""Bytes of a file: hundreds of thousands of layers."""


@dataclass
class LatencyCache:
    """Times in seconds. Those that are added are kept when it is written."""

    path: Path
    measured_on: dict[str, Any]
    """Setting, machine and versions of libraries, which the file's name stands for."""
    layers: dict[str, float] = field(default_factory=dict)
    """Layer by itself -> its time."""
    networks: dict[str, list[float]] = field(default_factory=dict)
    """Network of a space -> the time of the unpruned one beside it, and its own as a share of that."""
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Space -> how far predictions from layers are off there; written for those who read the file."""

    @classmethod
    def of(cls, setting: Setting, directory: Path | None = None) -> "LatencyCache":
        """What is known for a setting on this machine; a file that cannot be read is said, and begun anew.

        Args:
            setting: What is measured on.
            directory: Where the files are; None: in the user's cache directory.
        """
        cache = cls(*cache_file(setting, directory))
        try:
            content = read_json(cache.path, LARGEST_CACHE) if cache.path.exists() else {"layers": {}, "networks": {}}
            layers, networks = times_checked(content["layers"]), content["networks"]
            errors = dict(content.get("errors", {}))
            for pair in networks.values():
                times_checked(dict(zip(("full", "share"), pair, strict=True)))
            cache.layers, cache.networks, cache.errors = layers, networks, errors
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            warn("latency", f"{cache.path}: no whole file of measured times ({type(error).__name__}); measured anew")
        return cache

    def write(self) -> None:
        """Keep all; where that cannot be, it is said, and measured again another time."""
        content = {name: getattr(self, name) for name in ("measured_on", "errors", "layers", "networks")}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps(content, indent=1) + "\n")
        except OSError as error:
            warn("latency", f"{self.path}: cannot be written ({error.strerror}); the measured times are not kept")


def cache_file(setting: Setting, directory: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """The file of a setting on this machine, and what its name stands for. Arguments as for `LatencyCache.of`."""
    measured_on = {
        **vars(setting),
        "processor": processor_name(),
        "gpu": gpu_name() if setting.device != "cpu" else None,
        "torch": torch.__version__,
        "onnxruntime": runtime_version() if setting.runtime == "onnxruntime" else None,
    }
    digest = hashlib.sha256(json.dumps(measured_on).encode()).hexdigest()[:16]
    home = directory or Path(platformdirs.user_cache_path("tas")) / "latency"
    return home / f"{digest}.json", measured_on


@contextmanager
def measuring_alone(path: Path) -> Iterator[None]:
    """Let no other process measure for the same file meanwhile: it would disturb, and finds all in it afterwards.

    Where the directory cannot be written, all measure.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path.with_suffix(".lock"), "w", encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError:
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            warn("latency", "another process measures on this machine; this one waits for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield


def times_checked(times: dict[Any, Any]) -> dict[Any, float]:
    """Times, each a number of seconds above 0. ValueError if one is none."""
    if not all(isinstance(time, float) and 0 < time < math.inf for time in times.values()):
        raise ValueError("not a time")
    return times
