"""The command line: `tas search`, `tas train`."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import docstring_parser
from jsonargparse import ActionYesNo, ArgumentError, ArgumentParser

from tas.config import CommonOptions, SearchOptions, TrainOptions, flag, read_yaml
from tas.errors import TasError, nearest

Options = TypeVar("Options", bound=CommonOptions)


def search(arguments: Sequence[str]) -> None:
    """`tas search`."""
    options = parse("search", SearchOptions, arguments)
    from tas.commands.search import search as run  # Lightning takes seconds to import; --help does not wait for it

    run(options)


def train(arguments: Sequence[str]) -> None:
    """`tas train`."""
    options = parse("train", TrainOptions, arguments)
    from tas.commands.train import train as run

    run(options)


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "search": (search, "find a smaller network within a FLOPs budget"),
    "train": (train, "train a found network, or an unpruned one, with or without a teacher"),
}


KINDS = {"float": "a number", "int": "a whole number", "tuple": "a list such as [0.5,1.0]"}
"""Names of types as a user knows them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: tas COMMAND [options]; tas COMMAND --help explains them\n")
        for name, (_, purpose) in COMMANDS.items():
            print(f"  {name:<8}{purpose}")
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise TasError(f"unknown command {name!r}{nearest(name, COMMANDS)}; known: {', '.join(COMMANDS)}")
        COMMANDS[name][0](rest)
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


def parse(command: str, options: type[Options], arguments: Sequence[str]) -> Options:
    """Options from flags, which win, and the YAML of --config or of the run to --resume. TasError on anything else."""
    parser = make_parser(command, options)
    given = [re.sub(r"^--[^=]+", lambda name: flag(name[0][2:]), argument) for argument in arguments]
    names = [field.name for field in fields(options)]
    try:
        files, given = file_parser().parse_known_args(given)
        blamed = f"--config {files.config}"
        if files.resume is not None:
            beside = [argument.partition("=")[0] for argument in given if argument.startswith("--")]
            check_beside_resume([*beside, "--config"] if files.config else beside)
            files.config = str(config_to_resume(files.resume))
            blamed = f"--resume: {files.config}"
            given += ["--resume", files.resume]
        if files.config is not None:
            read_yaml(blamed, files.config, names)
            given = ["--config", files.config, *given]  # first, so that a flag wins wherever it stands
        parsed = parser.parse_args(given)
    except (ArgumentError, argparse.ArgumentError) as error:
        raise TasError(explain(str(error), names)) from None
    values = parsed.as_dict()
    values.pop("config")
    return options(**values)


def file_parser() -> argparse.ArgumentParser:
    """A parser for the two flags that name a file with options, which are read before the others."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("--resume")
    return parser


def check_beside_resume(flags: Sequence[str]) -> None:
    """TasError if a flag is given beside --resume that would change what the run is, not how it is computed."""
    allowed = list(map(flag, ("workers", "accelerator", "devices", "strategy", "precision", "num_nodes")))
    for name in flags:
        if name not in allowed and name not in ("--help", "--resume"):
            raise TasError(
                f"{name} does not go with --resume, which takes the run's own; allowed: {', '.join(allowed)}"
            )


def config_to_resume(run: str) -> Path:
    """The options of the unfinished run in a directory. TasError if there is none."""
    if not Path(run, "config.yaml").is_file():
        raise TasError(f"--resume {run}: no run is there; it lacks config.yaml")
    if Path(run, "metrics.json").is_file():
        raise TasError(f"--resume {run}: that run is finished")
    return Path(run, "config.yaml")


def make_parser(command: str, options: type[CommonOptions]) -> ArgumentParser:
    """A parser with a flag and a YAML key for every field; the fields' docstrings are its help."""
    parser = ArgumentParser(
        prog=f"tas {command}",
        description=COMMANDS[command][1],
        exit_on_error=False,
        allow_abbrev=False,
        print_config=None,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options; flags win over it.")
    hints, explained = get_type_hints(options), explanations(options)
    for field in fields(options):
        how: dict[str, Any] = {"default": field.default, "help": f"{explained[field.name]} [default: %(default)s]"}
        if hints[field.name] is bool:
            parser.add_argument(flag(field.name), action=ActionYesNo(no_prefix="no-"), **how)
        else:
            parser.add_argument(flag(field.name), type=hints[field.name], **how)
    return parser


def explanations(options: type) -> dict[str, str]:
    """Field -> its docstring, inherited fields included."""
    found: dict[str, str] = {}
    for base in reversed(options.__mro__[:-1]):
        parsed = docstring_parser.parse_from_object(base)
        found |= {param.arg_name: " ".join((param.description or "").split()) for param in parsed.params}
    return found


def explain(message: str, known: Sequence[str]) -> str:
    """jsonargparse's message as one line that names the flag or file and, where a name is not known, the nearest."""
    message = " ".join(message.split())
    if unknown := re.fullmatch(r"[Uu]nrecognized arguments: (--[^ =]+).*", message):
        return f"{unknown[1]} is not an option{nearest(unknown[1], map(flag, known))}"
    if wrong := re.fullmatch(r'Parser key "([^"]+)": Expected a (.+)\. Got value: (.*)', message):
        kind = re.sub(r"<class '([^']+)'>", r"\1", wrong[2])
        return f"{flag(wrong[1])} is {wrong[3]}; expected: {KINDS.get(kind, kind.removeprefix('typing.'))}"
    return re.sub(r'Parser key "([^"]+)"', lambda key: flag(key[1]), message)
