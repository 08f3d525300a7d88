"""The command line: `tas COMMAND ...`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from tas.config import CompareOptions, PruneOptions, SearchOptions, TrainOptions
from tas.config.options import Options
from tas.config.parsing import parse
from tas.errors import TasError, did_you_mean


@dataclass(frozen=True)
class Command:
    """What `tas NAME` does."""

    options: type[Options]
    """Its options, whose docstring says what it does."""
    function: str
    """MODULE:FUNCTION that takes them. Imported when it is to run: Lightning takes seconds, for which --help does not
    wait."""

    def run(self, options: Options) -> None:
        """Run it."""
        module, _, function = self.function.partition(":")
        getattr(import_module(module), function)(options)


COMMANDS = {
    "search": Command(SearchOptions, "tas.commands.search:search"),
    "prune": Command(PruneOptions, "tas.commands.prune:prune"),
    "train": Command(TrainOptions, "tas.commands.train:train"),
    "compare": Command(CompareOptions, "tas.comparison.command:compare"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: tas COMMAND [options]; tas COMMAND --help explains them\n")
        for name, command in COMMANDS.items():
            print(f"  {name:<9}{command.options.__doc__}")
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise TasError(f"unknown command {name!r}{did_you_mean(name, COMMANDS)}; known: {', '.join(COMMANDS)}")
        command = COMMANDS[name]
        command.run(parse(name, command.options, rest))
    except TasError as error:
        print(f"tas {name}: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\ntas {name}: interrupted{f'; {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
        return 130
    return 0


def one_line(error: TasError) -> str:
    """The message; of an error in a worker process, which arrives inside that process's traceback, its last line."""
    return str(error).strip().splitlines()[-1].removeprefix("tas.errors.TasError: ")
