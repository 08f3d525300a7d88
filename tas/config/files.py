"""Options in files."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from tas.errors import TasError, did_you_mean, gist


def read_yaml(blamed: str, path: str | Path, known: Collection[str]) -> dict[str, Any]:
    """Options from a YAML file. TasError, naming what is blamed, unless it maps known options to values."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TasError(f"{blamed}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TasError(f"{blamed}: not YAML ({gist(error)})") from None
    if not isinstance(values, dict):
        raise TasError(f"{blamed}: must map options to values")
    for key in values:
        if key not in known:
            raise TasError(f"{blamed}: key {key!r} is not an option{did_you_mean(str(key), known)}")
    return values
