"""Which code made a result."""

import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


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
