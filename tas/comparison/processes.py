"""Where the runs of a comparison are carried out: in this process, or several at once in processes of their own."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


class ThisProcess(Executor):
    """An executor that does what it is given at once, in this process, so that Ctrl-C ends it."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call a function; returns a Future that is done, with its result or the exception that it raised."""
        done: Future[Any] = Future()
        try:
            done.set_result(function(*arguments, **named))
        except Exception as error:
            done.set_exception(error)
        return done


class Processes(Executor):
    """Worker processes, each a pool of its own, so that one that is killed takes no other's call with it.

    The Future of a call whose process ended has a BrokenProcessPool; the next call gets a new process.

    Args:
        size: How many there are; no more calls may be under way at once.
    """

    def __init__(self, size: int) -> None:
        self.pools = [new_process() for _ in range(size)]
        self.under_way: list[Future[Any] | None] = [None] * size

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Hand a call to a process that has none."""
        free = [place for place, call in enumerate(self.under_way) if call is None or call.done()]
        if not free:
            raise RuntimeError(f"{len(self.pools)} calls are under way, one for each process")
        place = free[0]
        try:
            call = self.pools[place].submit(function, *arguments, **named)
        except BrokenProcessPool:
            self.pools[place].shutdown()
            self.pools[place] = new_process()
            call = self.pools[place].submit(function, *arguments, **named)
        self.under_way[place] = call
        return call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes."""
        for pool in self.pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)


def new_process() -> ProcessPoolExecutor:
    """A pool of one process, which starts with its first call."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), prepare_worker)


def prepare_worker() -> None:
    """Have a worker leave Ctrl-C to the main process, and end with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # its own is shared between processes, and a killed one leaves it behind
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for the main process to end, then end this one: the same command must find no run still under way."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def processors() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; a container or batch system may grant fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def process_pool(size: int) -> Iterator[Executor]:
    """Processes that share the processor's cores; killed on Ctrl-C, since a run can be gone on with at any time.

    Each has its share of the cores as threads, unless the environment's OMP_NUM_THREADS says how many.
    """
    chosen_here = "OMP_NUM_THREADS" not in os.environ
    if chosen_here:
        os.environ["OMP_NUM_THREADS"] = str(max(1, processors() // size))  # torch reads it when workers import it
    pool = Processes(size)
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        if chosen_here:
            del os.environ["OMP_NUM_THREADS"]
