"""The command line: `tas COMMAND ...`."""

import sys
from collections.abc import Sequence

from tas.commands import COMMANDS, perform
from tas.errors import TasError, nearest
from tas.parsing import parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: tas COMMAND [options]; tas COMMAND --help explains them\n")
        for name, options in COMMANDS.items():
            print(f"  {name:<9}{options.__doc__}")
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise TasError(f"unknown command {name!r}{nearest(name, COMMANDS)}; known: {', '.join(COMMANDS)}")
        perform(name, parse(name, COMMANDS[name], rest))
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
