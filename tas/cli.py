"""The command line: `tas COMMAND ...`."""

import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import takewhile
from types import FrameType

from tas.config import (
    CompareOptions,
    DeriveOptions,
    ExportOptions,
    PredictOptions,
    ProfileOptions,
    PruneOptions,
    SearchOptions,
    TrainOptions,
)
from tas.config.environment import set_environment
from tas.config.options import Options
from tas.config.parsing import LIST_NETWORKS, parse
from tas.errors import FinishedBeforeError, Interrupted, TargetMissedError, TasError, did_you_mean, printable
from tas.runs.restarts import REQUEUE, heeded, requeue


@dataclass(frozen=True)
class Command:
    """What `tas NAME` does."""

    options: type[Options]
    """Its options, whose docstring says what it does."""
    function: str
    """MODULE:FUNCTION that takes them. Imported when it is to run: Lightning takes seconds, for which --help does not
    wait."""
    first: str | None = None
    """The flag whose value may stand first, without it."""
    others: str | None = None
    """The flag whose values may stand after that, likewise."""

    def run(self, options: Options) -> None:
        """Run it."""
        module, _, function = self.function.partition(":")
        getattr(import_module(module), function)(options)

    def flagged(self, arguments: Sequence[str]) -> list[str]:
        """The arguments with the flags of those that stand first without one."""
        bare = [*takewhile(lambda argument: not argument.startswith("-"), arguments)]
        if self.first is None or not bare:
            return list(arguments)
        rest = [self.first, *arguments]
        if self.others is not None and len(bare) > 1:
            # As JSON: names of files have commas and spaces.
            rest[2 : len(bare) + 1] = [f"{self.others}={json.dumps(bare[1:])}"]
        return rest


COMMANDS = {
    "search": Command(SearchOptions, "tas.commands.search:search"),
    "derive": Command(DeriveOptions, "tas.commands.derive:derive_run", first="--run"),
    "prune": Command(PruneOptions, "tas.commands.prune:prune"),
    "train": Command(TrainOptions, "tas.commands.train:train"),
    "profile": Command(ProfileOptions, "tas.commands.profile:profile_network", first="--run"),
    "predict": Command(PredictOptions, "tas.commands.predict:predict_images", first="--run", others="--images"),
    "export": Command(ExportOptions, "tas.commands.export:export", first="--run"),
    "compare": Command(CompareOptions, "tas.comparison.command:compare"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for bad input, 3 where a target was missed, 130 after Ctrl-C, 143
    after SIGTERM, 138 where SLURM is about to take the machine away."""
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or [""]
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name in ("", "-h", "--help", "help"):
        print(usage())
        return 0 if name else 2
    if name == "--version":
        print(f"tas {version('tas')}")
        return 0
    try:
        if name not in COMMANDS:
            raise TasError(f"unknown command {name!r}{did_you_mean(name, COMMANDS)}; known: {', '.join(COMMANDS)}")
        command = COMMANDS[name]
        set_environment()
        if LIST_NETWORKS in rest and "network" in command.options.listed():
            print("\n".join(networks_known()))
            return 0
        options = parse(name, command.options, command.flagged(rest))
        with terminable():
            command.run(options)
    except TasError as error:
        print(f"tas {name}: error: {one_line(error)}", file=sys.stderr)
        return 2
    except FinishedBeforeError as finished:
        print(f"tas {name}: {finished}")
    except TargetMissedError as missed:
        print(f"tas {name}: target not met: {missed}", file=sys.stderr)
        return 3
    except KeyboardInterrupt as interrupt:
        number = interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT
        how = "interrupted" if number == signal.SIGINT else requeue() if number == REQUEUE else "terminated"
        print(f"\ntas {name}: {how}{f'; {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
        return 128 + number
    return 0


@contextmanager
def terminable() -> Iterator[None]:
    """End by SIGTERM, and SLURM's warning, as by Ctrl-C, so that what is under way can say what it keeps."""
    if threading.current_thread() is not threading.main_thread():  # nowhere else can signals be handled
        yield
        return
    before = {number: signal.getsignal(number) for number in heeded()}
    for number in before:
        if number != signal.SIGINT:
            signal.signal(number, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle a signal other than Ctrl-C."""
    raise Interrupted(number=number)


def usage() -> str:
    """The commands, with a sentence on each."""
    lines = [f"  {name:<9}{command.options.__doc__}" for name, command in COMMANDS.items()]
    head = ["usage: tas COMMAND [options]; tas COMMAND --help explains them", ""]
    return "\n".join([*head, *lines, "", "tas --version prints the version."])


def networks_known() -> list[str]:
    """The names that --network takes."""
    from tas.networks import network_names  # torchvision takes seconds, for which --help does not wait

    return network_names()


def one_line(error: TasError) -> str:
    """The message; of an error in a worker process, which arrives inside that process's traceback, its last line."""
    return printable(str(error).strip().split("\n")[-1].removeprefix("tas.errors.TasError: "))
