"""From a command line and YAML to checked options."""

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ActionYesNo, ArgumentError, ArgumentParser

from tas.config import RecipeOptions, flag, read_yaml
from tas.errors import TasError, did_you_mean

Options = TypeVar("Options", bound=RecipeOptions)

TYPE_NAMES = {
    "float": "a number",
    "int": "a whole number",
    "tuple": "a list such as [0.5,1.0]",
    "dict[str, typing.Any]": "options and their values such as {epochs: 20}",
    "dict[str, dict[str, typing.Any]]": "names and their options such as {tas-8: {method: tas, samples: 8}}",
}
"""Names of types as a user knows them."""


def parse(command: str, options: type[Options], arguments: Sequence[str]) -> Options:
    """Options from flags, which win, and the YAML of --config or of the run to --resume. TasError on anything else."""
    parser = make_parser(command, options)  # type: ignore[arg-type]  # mypy does not know that classes are hashable
    names = [field.name for field in fields(options)]
    given = [re.sub(r"^--[^=]+", lambda name: flag(name[0][2:]), argument) for argument in arguments]
    given = bracketed(given, {flag(name): kind for name, kind in get_type_hints(options).items()})
    try:
        files, given = file_parser().parse_known_args(given)
        blamed = f"--config {files.config}"
        if files.resume is not None and "resume" not in names:
            raise TasError(f"--resume: repeat the command as it was; tas {command} goes on with what it finds")
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
    return made_of(parsed.as_dict(), options)


def from_values(command: str, options: type[Options], values: Mapping[str, Any]) -> Options:
    """Options from a mapping of their names to values, as YAML has them. TasError on anything else."""
    names = [field.name for field in fields(options)]
    check_known(command, options, values)
    try:
        parser = make_parser(command, options)  # type: ignore[arg-type]  # as in `parse`
        parsed = parser.parse_object(dict(values)).as_dict()
    except (ArgumentError, argparse.ArgumentError) as error:
        raise TasError(explain(str(error), names)) from None
    return made_of(parsed, options)


def check_known(command: str, options: type[Any], given: Iterable[str]) -> None:
    """TasError unless all names are options of a command."""
    names = [field.name for field in fields(options)]
    for name in given:
        if name not in names:
            raise TasError(f"{name!r} is not an option of tas {command}{did_you_mean(name, names)}")


def made_of(values: Mapping[str, Any], options: type[Options]) -> Options:
    """Options from parsed values; null for an option that has no such value leaves its default, as it does in YAML
    that an older version wrote."""
    kinds = get_type_hints(options)
    given = {name: value for name, value in values.items() if name in kinds}
    return options(
        **{name: value for name, value in given.items() if value is not None or type(None) in get_args(kinds[name])}
    )


def bracketed(given: Sequence[str], kinds: Mapping[str, Any]) -> list[str]:
    """The arguments with lists as YAML has them: `--seeds 0 1 2` and `--seeds 0,1,2` become `--seeds=[0,1,2]`.

    Args:
        given: Flags and their values.
        kinds: Flag -> its type.
    """
    result: list[str] = []
    rest = list(given)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        kind = kinds.get(name)
        if get_origin(kind) is not tuple:
            result.append(name + equals + value)
            continue
        parts = [value] if equals else []
        while rest and not rest[0].startswith("--"):
            parts.append(rest.pop(0))
        joined = ",".join(parts)
        if not joined.startswith("["):
            quote = json.dumps if str in get_args(kind) else str  # a pattern such as *.conv is no YAML
            joined = f"[{','.join(quote(item.strip()) for item in joined.split(',') if item.strip())}]"
        result.append(f"{name}={joined}")
    return result


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


@cache
def make_parser(command: str, options: type[RecipeOptions]) -> ArgumentParser:
    """A parser with a flag and a YAML key for every field; the fields' docstrings are its help."""
    parser = ArgumentParser(
        prog=f"tas {command}",
        description=options.__doc__,
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
        return f"{unknown[1]} is not an option{did_you_mean(unknown[1], map(flag, known))}"
    wrong = re.fullmatch(r'Parser key "([^"]+)": Expected a (.+)\. Got value: (.*)', message)
    optional = r"Does not validate .* Subtypes: \[(.+), <class 'NoneType'>\] Errors: .* Given value: (.*)"
    if wrong := wrong or re.fullmatch(rf'Parser key "([^"]+)": {optional}', message):
        kind = re.sub(r"<class '([^']+)'>", r"\1", wrong[2])
        given = re.sub(r"^NestedArg\(key='(.*)', val='(.*)'\)$", r"{\1: \2}", wrong[3])
        return f"{flag(wrong[1])} is {given}; expected: {TYPE_NAMES.get(kind, kind.removeprefix('typing.'))}"
    return re.sub(r'Parser key "([^"]+)"', lambda key: flag(key[1]), message)
