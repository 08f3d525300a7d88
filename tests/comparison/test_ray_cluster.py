import sys
from types import SimpleNamespace

import pytest

from tas.comparison.ray_cluster import ray_cluster
from tas.errors import TasError


@pytest.fixture(autouse=True)
def ray_with_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package ray of which the cluster has four cores and two GPUs; it carries out nothing."""
    fake = SimpleNamespace(
        init=lambda **options: None,
        shutdown=lambda: None,
        cluster_resources=lambda: {"CPU": 4.0, "GPU": 2.0},
        remote=lambda function: SimpleNamespace(options=lambda **demand: None),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gpus", "warned"), [(0.0, True), (0.5, False)])
def test_gpus_that_no_run_may_use_are_pointed_out(
    gpus: float, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with ray_cluster("auto", 1.0, gpus):
        pass
    assert (
        "the cluster has 2 GPUs and runs may use none of them; give --job-gpus" in capsys.readouterr().err
    ) == warned


def test_a_run_that_no_cluster_could_ever_begin_is_refused() -> None:
    with pytest.raises(TasError, match="--job-gpus is 3; the cluster has 2 GPUs in all"), ray_cluster("auto", 1.0, 3.0):
        pass
