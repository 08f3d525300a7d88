"""A command run in this process, for benchmarks that run hundreds."""

import contextlib
import io
import traceback
from pathlib import Path
from typing import NamedTuple

from tas.cli import main


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    """-1 where it raised; `err` is the traceback then."""
    out: str
    err: str


def run_here(command: list[str], directory: Path) -> Ended:
    """Run a command as if typed in a directory."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.chdir(directory), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return Ended(main(command), out.getvalue(), err.getvalue())
    except Exception:  # a failure that is looked for: nothing but SystemExit and signals may leave a command
        return Ended(-1, out.getvalue(), traceback.format_exc())
