"""Count the imports between the rooms of `tas/` and between its modules, in one checkout or several.

    python benchmarks/arrows.py [CHECKOUT ...]

A room is a package of `tas/` or a file at its top level; an import counts wherever it stands, for type checkers too.
"""

import ast
import sys
from pathlib import Path

Arrow = tuple[str, str]


def modules_of(checkout: Path) -> dict[str, Path]:
    """Dotted name -> file, of all modules of `tas`."""
    found = {}
    for file in sorted((checkout / "tas").rglob("*.py")):
        parts = file.relative_to(checkout).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def arrows_of(modules: dict[str, Path]) -> set[Arrow]:
    """(module, module that it imports) within `tas`."""
    found = set()
    for module, file in modules.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [name if name in modules else node.module for name in names]
            else:
                targets = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {(module, target) for target in targets if target.partition(".")[0] == "tas" and target != module}
    return found


def room(module: str) -> str:
    """The package, or the file at the top level, that a module is in."""
    return ".".join(module.split(".")[:2])


def main(checkouts: list[str]) -> None:
    """Print a line for each checkout."""
    for checkout in checkouts or ["."]:
        modules = modules_of(Path(checkout))
        arrows = arrows_of(modules)
        between = {(room(source), room(target)) for source, target in arrows} - {(room(m), room(m)) for m in modules}
        rooms = len({room(module) for module in modules})
        print(f"{checkout}: {len(between)} arrows between {rooms} rooms, {len(arrows)} between {len(modules)} modules")


if __name__ == "__main__":
    main(sys.argv[1:])
