"""From a command line and YAML to checked options."""

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from jsonargparse import ActionYesNo, ArgumentError, ArgumentParser, get_loader, set_loader
from yaml import YAMLError

from tas.config.amount import AMOUNTS
from tas.config.checks import flag
from tas.config.files import RECIPE, read_yaml, recipe, with_recipe
from tas.config.groups import Machine
from tas.config.options import Options
from tas.errors import TasError, did_you_mean
from tas.inputs.yaml_text import parse_yaml

Chosen = TypeVar("Chosen", bound=Options)

LIST_NETWORKS = "--list-networks"
"""The flag that asks for the names of networks in the place of a run."""

LONGEST_SHOWN = 200
"""Letters of a wrong value that a message repeats."""

TYPE_NAMES = {
    "float": "a number",
    "int": "a whole number",
    "float, str": AMOUNTS,
    "tuple": "a list such as [0.5,1.0]",
    "dict[str, typing.Any]": "options and their values such as {epochs: 20}",
    "dict[str, dict[str, typing.Any]]": "names and their options such as {tas-8: {method: tas, samples: 8}}",
}
"""Names of types as a user knows them."""


def parse(command: str, options: type[Chosen], arguments: Sequence[str]) -> Chosen:
    """Options from a recipe, from the YAML of each --config or of the run to --resume, and from flags; the later wins.

    The recipe is the one that is named last, by a file or by --recipe; it lies below all else.

    Raises:
        TasError: Anything else was given.
    """
    known = options.listed()
    given = [re.sub(r"^--[^=]+", lambda name: flag(name[0][2:]), argument) for argument in arguments]
    given = bracketed(given, {flag(name): option.kind for name, option in known.items()})
    try:
        named, given = file_parser().parse_known_args(given)
    except (ArgumentError, argparse.ArgumentError) as error:
        raise TasError(explain(str(error), list(known))) from None
    for name in ("recipe", "resume"):
        if len(getattr(named, name)) > 1:
            raise TasError(f"{flag(name)} is given {len(getattr(named, name))} times; give one")
    values: dict[str, Any] = {}
    if named.resume:
        if "resume" not in known:
            raise TasError(f"--resume: repeat the command as it was; tas {command} goes on with what it finds")
        others = [name for name in ("recipe", "config") if getattr(named, name)]
        flags = [argument.partition("=")[0] for argument in given if argument.startswith("--")]
        check_beside_resume([*flags, *map(flag, others)])
        run = named.resume[0] or newest_unfinished(command)
        file = config_to_resume(run)
        values |= checked(command, options, read_yaml(f"--resume: {file}", file, known))
        values["resume"] = run
    files = {f"--config {file}": read_yaml(f"--config {file}", file, (*known, RECIPE)) for file in named.config}
    recipes = [(blamed, own.pop(RECIPE)) for blamed, own in files.items() if RECIPE in own]
    recipes += [(f"--recipe {name}", name) for name in named.recipe]
    if recipes and recipes[-1][1] is not None:
        values |= checked(command, options, recipe(*recipes[-1], command, known))
    for own in files.values():
        values = added(values, checked(command, options, own))
    return made_of(added(values, flags_given(command, options, given)), options)


def added(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Values with more of them, which win; options that are mappings, as a comparison's sections, add up by key."""
    result = dict(values)
    for name, value in more.items():
        before = result.get(name)
        result[name] = keyed(before) | keyed(value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def keyed(section: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping under the names of its options; names of variants, which have options themselves, stay as they are."""
    return {key if isinstance(value, dict) else key.replace("-", "_"): value for key, value in section.items()}


def from_values(command: str, options: type[Chosen], values: Mapping[str, Any]) -> Chosen:
    """Options from a mapping of their names to values, as YAML has them. TasError on anything else."""
    check_known(command, options, values)
    whole = with_recipe(RECIPE, values, command, options.listed())
    return made_of(checked(command, options, whole), options)


def check_known(command: str, options: type[Options], given: Iterable[str]) -> None:
    """TasError unless all names are options of a command, or the key that names a recipe."""
    names = list(options.listed())
    for name in given:
        if name not in (*names, RECIPE):
            raise TasError(f"{name!r} is not an option of tas {command}{did_you_mean(name, names)}")


def checked(command: str, options: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the types that the options have. TasError, naming the flag, on another type.

    null stands for the command's default, whatever an earlier file says.
    """
    parser = make_parser(command, options)  # type: ignore[arg-type]  # mypy does not know that classes are hashable
    given = {name: value for name, value in values.items() if value is not None}
    try:
        parsed = parser.parse_object(given, defaults=False).as_dict()
    except (ArgumentError, argparse.ArgumentError) as error:
        raise TasError(explain(str(error), list(options.listed()))) from None
    return {name: parsed.get(name) for name in values}


def flags_given(command: str, options: type[Options], given: Sequence[str]) -> dict[str, Any]:
    """The options that are given as flags, no others."""
    try:
        parser = make_parser(command, options)  # type: ignore[arg-type]  # as above
        parsed = parser.parse_args(list(given), defaults=False)
    except (ArgumentError, argparse.ArgumentError) as error:
        raise TasError(explain(str(error), list(options.listed()))) from None
    known = options.listed()
    return {name: value for name, value in parsed.as_dict().items() if name in known}


def made_of(values: Mapping[str, Any], options: type[Chosen]) -> Chosen:
    """Options from values of their types; None stands for the default."""
    return options.of(**{name: value for name, value in values.items() if value is not None})


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
        kind = next((one for one in get_args(kinds.get(name)) if get_origin(one) is tuple), kinds.get(name))
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
    """A parser for the flags that name files with options, which are read before the others."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument(flag(RECIPE), action="append", default=[])
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--resume", action="append", default=[], nargs="?", const="")
    return parser


def check_beside_resume(flags: Sequence[str]) -> None:
    """TasError if a flag is given beside --resume that would change what the run is, not how it is computed."""
    allowed = list(map(flag, (*Machine.__dataclass_fields__, "checkpoint_every", "keep_checkpoints")))
    for name in flags:
        if name not in allowed and name != "--help":
            raise TasError(
                f"{name} does not go with --resume, which takes the run's own; allowed: {', '.join(allowed)}"
            )


def newest_unfinished(command: str) -> str:
    """The run of a command, below runs, that was written to last and has not come to its end. TasError if none is
    there."""
    home = Path("runs", command)
    runs = [file.parent for file in home.glob("*/config.yaml") if not (file.parent / "metrics.json").exists()]
    if not runs:
        raise TasError(f"--resume: no unfinished run in {home}; name its directory, --resume RUN")
    return str(max(runs, key=last_written))


def last_written(run: Path) -> float:
    """When something in a run was written last, in seconds."""
    return max(file.stat().st_mtime for file in run.rglob("*") if file.is_file())


def config_to_resume(run: str) -> Path:
    """The options of the unfinished run in a directory. TasError if there is none."""
    if not Path(run, "config.yaml").is_file():
        raise TasError(f"--resume {run}: no run is there; it lacks config.yaml")
    if Path(run, "metrics.json").is_file():
        raise TasError(f"--resume {run}: that run is finished")
    return Path(run, "config.yaml")


def load_value(text: str) -> Any:
    """The value of an option that is given as text, as jsonargparse reads YAML, within the limits of a file."""
    parse_yaml(text)
    return get_loader("yaml")(text)


set_loader("limited", load_value, exceptions=(ValueError, YAMLError))


@cache
def make_parser(command: str, options: type[Options]) -> ArgumentParser:
    """A parser with a flag and a YAML key for every option, under its group's heading; docstrings are its help."""
    parser = ArgumentParser(
        prog=f"tas {command}",
        description=options.__doc__,
        exit_on_error=False,
        allow_abbrev=False,
        print_config=None,
        parser_mode="limited",
    )
    # Read before the others, by `file_parser`; here they are for --help alone.
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of these options; of several the later "
                        "one wins, and flags win over all.")  # fmt: skip
    parser.add_argument(flag(RECIPE), metavar="NAME", help="Options that belong together, below those of --config: "
                        "paper, the paper's settings of a search.")  # fmt: skip
    if "network" in options.listed():  # likewise, for --help alone
        parser.add_argument(LIST_NETWORKS, action="store_true", help="Print every name that --network takes, and stop.")
    headings: dict[str, Any] = {}
    for name, option in options.listed().items():
        if option.heading not in headings:
            headings[option.heading] = parser.add_argument_group(option.heading)
        how: dict[str, Any] = {"default": option.default, "help": f"{option.explained} [default: %(default)s]"}
        if option.kind is bool:
            headings[option.heading].add_argument(flag(name), action=ActionYesNo(no_prefix="no-"), **how)
        else:
            headings[option.heading].add_argument(flag(name), type=option.kind, **how)
    return parser


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
        kind = "tuple" if kind.startswith("tuple") else kind
        given = given if len(given) <= LONGEST_SHOWN else f"{given[:LONGEST_SHOWN]}..."
        return f"{flag(wrong[1])} is {given}; expected: {TYPE_NAMES.get(kind, kind.removeprefix('typing.'))}"
    return re.sub(r'Parser key "([^"]+)"', lambda key: flag(key[1]), message)
