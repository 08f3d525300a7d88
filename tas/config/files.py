"""Options in files: YAML, and recipes, sets of options that belong together and have a name."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tas.errors import TasError, did_you_mean, shown
from tas.inputs.text import read_text
from tas.inputs.yaml_text import LARGEST_YAML, parse_yaml

RECIPES = Path(__file__).parent / "recipes"
"""Where recipes are: NAME.yaml, in each the options of a command under the command's name."""

RECIPE = "recipe"
"""The key, and flag, that names one."""


def read_yaml(blamed: str, path: str | Path, known: Collection[str] | None = None) -> dict[str, Any]:
    """A YAML file that maps keys, known ones if a list of them is given, to values. TasError otherwise."""
    try:
        values = parse_yaml(read_text(path, LARGEST_YAML, blamed))
    except TasError:
        raise
    except ValueError as error:
        raise TasError(f"{blamed}: not YAML ({error})") from None
    if not isinstance(values, dict):
        raise TasError(f"{blamed}: must map options to values")
    for key in values if known is not None else ():
        if key not in (known or ()):
            raise TasError(f"{blamed}: key {shown(key)} is not an option{did_you_mean(str(key), known or ())}")
    return values


def with_recipe(blamed: str, values: Mapping[str, Any], command: str, known: Collection[str]) -> dict[str, Any]:
    """Values with those of the recipe that they name below them; they win. TasError, naming what is blamed."""
    rest = {key: value for key, value in values.items() if key != RECIPE}
    name = values.get(RECIPE)
    return rest if name is None else recipe(blamed, name, command, known) | rest


def recipe(blamed: str, name: object, command: str, known: Collection[str]) -> dict[str, Any]:
    """The options that a recipe has for a command. TasError, naming what is blamed, if there is none."""
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if name not in names:
        raise TasError(f"{blamed}: no recipe {name!r}{did_you_mean(str(name), names)}; known: {', '.join(names)}")
    file = RECIPES / f"{name}.yaml"
    commands = read_yaml(str(file), file)
    if command not in commands:
        raise TasError(f"{blamed}: the recipe {name} has options for {', '.join(commands)}, none for tas {command}")
    own: dict[str, Any] = commands[command]
    for key in own:
        if key not in known:
            raise TasError(f"{file}: key {key!r} is not an option of tas {command}{did_you_mean(str(key), known)}")
    return own
