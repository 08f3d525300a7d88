"""What benchmarks/faults.py measures at length, in short: kills at random moments, options drawn at random."""

import random
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.test_benchmarks import rows

COMMANDS = ["search, sandwich", "search, gumbel-mixture", "train --kd", "derive --front"]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_random_moments_a_run_ends_as_if_it_had_not_been(command: str) -> None:
    given = ["--parts", "kills", "--kills", "5", "--commands", command]
    (row,) = rows("benchmarks/faults.py", *given, "--seed", str(random.Random().randrange(10**6)))
    assert row["kills"] >= 5 and row["identical"] == row["runs"] > 0, row


@pytest.fixture(scope="module")
def odd() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield import_module("odd_searches")


@pytest.mark.slow
# Not made smaller where one fails: each takes seconds.
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(chance=st.randoms(use_true_random=False))
def test_options_of_any_kind_end_with_a_network_or_a_line(odd: Any, chance: random.Random) -> None:
    with tempfile.TemporaryDirectory() as place:
        assert odd.odd_searches(1, chance, Path(place))["failed"] == []
