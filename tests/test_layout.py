"""What may import what: the floors of the house, the top one first. Every module of tas stands on one of them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tas

HOME = Path(tas.__file__).parent

FLOORS = """
    tas.__main__
    tas tas.cli
    tas.comparison
    tas.commands
    tas.search tas.pruning tas.profiling
    tas.timing
    tas.training tas.exports
    tas.supernet tas.distillation
    tas.runs
    tas.space
    tas.cost
    tas.cutting
    tas.reading
    tas.networks tas.data
    tas.config
    tas.architecture
    tas.inputs
    tas.errors
"""
"""A module imports those of lower floors and of its own room, never those of a higher floor or of a room beside it.
An imported name counts wherever the import stands: in a function, or for type checkers alone."""


def module_name(file: Path) -> str:
    parts = ("tas", *file.relative_to(HOME).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(HOME.rglob("*.py"))}

FLOOR = {room: floor for floor, line in enumerate(reversed(FLOORS.split("\n"))) for room in line.split()}


def room_of(module: str) -> str:
    """The most exact entry of FLOORS that a module stands under."""
    while module not in FLOOR:
        module = module.rpartition(".")[0]
    return module


def imports(file: Path) -> set[str]:
    """The modules of tas that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return {name for name in found if name.partition(".")[0] == "tas"}


ARROWS = {(module, target) for module, file in MODULES.items() for target in imports(file)}


def test_every_file_of_the_top_level_is_named_in_the_table():
    top = {"tas", *(f"tas.{path.stem}" for path in HOME.iterdir() if path.suffix == ".py" and path.stem != "__init__")}
    assert top == {"tas", "tas.cli", "tas.__main__", "tas.errors", "tas.architecture"}
    rooms = {f"tas.{path.name}" for path in HOME.iterdir() if (path / "__init__.py").is_file()}
    assert top | rooms == set(FLOOR)


def test_no_import_runs_up_or_to_a_room_beside():
    wrong = {
        (module, target)
        for module, target in ARROWS
        if room_of(module) != room_of(target) and FLOOR[room_of(module)] <= FLOOR[room_of(target)]
    }
    # What a checkout's version is asked of, and the one list of public names, is the package itself.
    assert {pair for pair in wrong if pair[1] != "tas"} == set()


def test_no_circle_of_modules():
    waiting = {module: {target for source, target in ARROWS if source == module} & set(MODULES) for module in MODULES}
    waiting = {module: targets - {module, "tas"} for module, targets in waiting.items()}
    while free := [module for module, targets in waiting.items() if not targets]:
        for module in free:
            del waiting[module]
        waiting = {module: targets.difference(free) for module, targets in waiting.items()}
    assert waiting == {}


def test_every_package_says_what_it_holds():
    for module, file in MODULES.items():
        if file.stem != "__init__":
            continue
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        assert said and said.splitlines()[0].endswith((".", ":")), module


def test_no_file_past_400_lines_and_no_function_past_80():
    for file in (*MODULES.values(), *Path(__file__).parent.rglob("*.py"), *(HOME.parent / "benchmarks").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None and node.end_lineno - node.lineno < 80, f"{file}: {node.name}"


def test_no_name_is_defined_in_two_modules():
    homes: dict[str, list[str]] = {}
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [getattr(node, "name", None)]
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            for name in filter(None, names):
                homes.setdefault(name, []).append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_options_and_architectures_need_no_torch():
    loaded = modules_after("import tas.cli, tas.architecture, tas.config.parsing; import tas; tas.Architecture")
    assert "torch" not in loaded and "pytorch_lightning" not in loaded


@pytest.mark.slow
def test_training_imports_nothing_of_search():
    loaded = modules_after("import tas.commands.train")
    of_search = re.compile(r"tas\.(search|supernet|space)\.")
    assert [name for name in loaded if of_search.match(name)] == []


def test_public_names_are_one_list():
    listed = {
        (alias.name, node.module)
        for node in ast.walk(ast.parse((HOME / "__init__.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tas.")
        for alias in node.names
    }
    assert listed == set(tas.HOMES.items())
    assert all(getattr(tas, name).__module__ == module for name, module in tas.HOMES.items())
    assert dir(tas) == tas.__all__ == list(tas.HOMES)
    assert all(name in str(tas.__doc__) for name in tas.HOMES)
