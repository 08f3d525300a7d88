"""Runs of a comparison as tasks of a Ray cluster.

The directory of the comparison and the data must be on a file system that all nodes share, under the same path, and TAS
must be installed on each.
"""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from tas.errors import TasError, gist
from tas.runs.console import warn

RETRIES = 5
"""How often a run is begun anew, from its checkpoint, when the node that carries it out is lost."""


class RayExecutor(Executor):
    """Ray as an executor: each call is a task, which waits in Ray's queue until its share of a node is free.

    Args:
        cpus, gpus: What each call takes.
    """

    def __init__(self, cpus: float, gpus: float) -> None:
        import ray

        demand = {"num_cpus": cpus, "num_gpus": gpus}
        self.task = ray.remote(called).options(max_retries=RETRIES, retry_exceptions=False, **demand)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Queue a call, which has this process's working directory as its own."""
        return self.task.remote(os.getcwd(), list(sys.path), function, arguments, named).future()


def called(directory: str, path: list[str], function: Callable[..., Any], arguments: Any, named: Any) -> Any:
    """A function's result; this is what a node carries out.

    Args:
        directory: To work in: runs and data are named relative to it.
        path: Where modules are found, for networks of the user's own.
        function, arguments, named: The call.
    """
    os.chdir(directory)
    sys.path += [place for place in path if place not in sys.path]
    return function(*arguments, **named)


@contextmanager
def ray_cluster(address: str, cpus: float, gpus: float) -> Iterator[Executor]:
    """The cluster at an address; its tasks end with the block.

    Args:
        address: HOST:PORT, "auto" for the cluster of this machine, "local" to start one here.
        cpus, gpus: What each run takes.

    Raises:
        TasError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise TasError("--ray needs the package ray, which the extra tas[ray] installs") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise TasError(f"--ray {address}: no cluster answers ({gist(error)})") from None
    try:
        total = ray.cluster_resources()
        for flag, needs, kind in (("--job-cpus", cpus, "CPU"), ("--job-gpus", gpus, "GPU")):
            if needs > total.get(kind, 0):
                raise TasError(f"{flag} is {needs:g}; the cluster has {total.get(kind, 0):g} {kind}s in all")
        if gpus == 0 and total.get("GPU", 0):
            warn("compare", f"the cluster has {total['GPU']:g} GPUs and runs may use none of them; give --job-gpus")
        yield RayExecutor(cpus, gpus)
    finally:
        ray.shutdown()
