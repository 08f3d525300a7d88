"""Schedulers that take a machine away and start the same command again: SLURM, torchrun."""

import os
import signal
import subprocess

REQUEUE = signal.SIGUSR1
"""What SLURM is asked to send before the time is up (`sbatch --signal=USR1@120`), as Lightning has it."""


def heeded() -> tuple[signal.Signals, ...]:
    """The signals that end a command, which keeps what it has."""
    own = (signal.SIGINT, signal.SIGTERM)
    return (*own, REQUEUE) if "SLURM_JOB_ID" in os.environ else own


def restarted(named: bool) -> bool:
    """Whether a scheduler has started this command before, and now again.

    Args:
        named: Whether the command says where its run is. Of a restart because of another machine's processes torchrun
            says nothing; then it suffices that there may be one.
    """
    names = ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT", *(["TORCHELASTIC_MAX_RESTARTS"] if named else [])]
    counts = (os.environ.get(name, "0") for name in names)
    return any(count.isdigit() and int(count) > 0 for count in counts)


def requeue() -> str:
    """Have SLURM put this job back into its queue, once for all its processes; what came of it, in words."""
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0":
        return "the first process has the job put back into SLURM's queue"
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = os.environ["SLURM_JOB_ID"] if task is None else f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return f"scontrol requeue {job} failed ({type(error).__name__})"
    return f"SLURM has put job {job} back into its queue"
