"""Measurements by processes of their own: what one takes hours or all memory for stops that one, and no other."""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from tas.errors import gist

Measure = Callable[[str], dict[str, Any]]
"""From a network's name to its row."""


def in_a_process(measure: Measure, name: str, seconds: float, wrong: str) -> dict[str, Any]:
    """A measurement by a process of its own; what goes wrong in it is the row.

    Args:
        measure: What is measured.
        name: Of which network.
        seconds: After which it is given up.
        wrong: The row's key for what went wrong, which is one line.
    """
    context = multiprocessing.get_context("fork")  # what is imported need not be imported again
    given, taken = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(measure, name, wrong, taken))
    process.start()
    taken.close()
    if not given.poll(seconds):
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return {"network": name, wrong: f"not done in {seconds} s"}
    try:
        row: dict[str, Any] = given.recv()
    except EOFError:
        process.join()
        row = {"network": name, wrong: f"its process ended with {process.exitcode}"}
    process.join()
    return row


def send(measure: Measure, name: str, wrong: str, connection: Connection) -> None:
    """Measure, and send the row; an exception's last line is one, too."""
    os.setpgrp()  # with the processes that it starts it is ended
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # a process that was forked has no others
    try:
        row = measure(name)
    except Exception as error:  # whatever a library says of it
        row = {"network": name, wrong: gist(error, length=160) or type(error).__name__}
    connection.send(row)
