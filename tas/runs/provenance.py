"""Which code made a result, and on what machine."""

import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


@cache
def code_version() -> str:
    """The commit of the checkout that tas is run from, with -dirty after it if files differ; else tas's version."""
    home = Path(__file__).resolve().parents[2]
    if (home / ".git").exists() and shutil.which("git"):
        asked = subprocess.run(["git", "-C", home, "describe", "--always", "--dirty"], capture_output=True, text=True)
        if asked.returncode == 0:
            return asked.stdout.strip()
    try:
        return f"tas {version('tas')}"
    except PackageNotFoundError:
        return "unknown"


@cache
def made_here() -> str:
    """Code, libraries and machine in one line."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "pytorch-lightning", "numpy"))
    machine = f"{processor_name()}, {gpu_name() or 'no GPU'}"
    return f"tas {code_version().removeprefix('tas ')}, Python {platform.python_version()}, {libraries}; {machine}"


def processor_name() -> str:
    """What the system calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def accelerator() -> torch.device | None:
    """The GPU, or what stands for one; None without."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None


def gpu_name() -> str | None:
    """What the accelerator is called."""
    device = accelerator()
    if device is None:
        return None
    return torch.cuda.get_device_name() if device.type == "cuda" else device.type
