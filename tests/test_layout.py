import subprocess
import sys

import pytest

SEARCH_ONLY = ("tas.search", "tas.space", "tas.supernet", "tas.derivation", "tas.monitor", "tas.budget")


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.slow
def test_training_imports_nothing_of_search():
    assert not modules_after("import tas.commands.train").intersection(SEARCH_ONLY)
    assert modules_after("import tas.commands.search").issuperset(SEARCH_ONLY)


def test_networks_know_nothing_of_search_or_training():
    ours = {name for name in modules_after("import tas.networks") if name.split(".")[0] == "tas"}
    assert ours == {"tas", "tas.errors", "tas.networks", "tas.networks.cifar_resnet", "tas.networks.library"}
