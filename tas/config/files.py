"""Options in files: YAML, and recipes, sets of options that belong together and have a name."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from tas.errors import TasError, did_you_mean, gist

RECIPES = Path(__file__).parent / "recipes"
"""Where recipes are: NAME.yaml, in each the options of a command under the command's name."""

RECIPE = "recipe"
"""The key, and flag, that names one."""


def read_yaml(blamed: str, path: str | Path, known: Collection[str] | None = None) -> dict[str, Any]:
    """A YAML file that maps keys, known ones if a list of them is given, to values. TasError otherwise."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TasError(f"{blamed}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TasError(f"{blamed}: not YAML ({gist(error)})") from None
    if not isinstance(values, dict):
        raise TasError(f"{blamed}: must map options to values")
    for key in values if known is not None else ():
        if key not in (known or ()):
            raise TasError(f"{blamed}: key {key!r} is not an option{did_you_mean(str(key), known or ())}")
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
