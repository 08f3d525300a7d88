import subprocess
import time
from pathlib import Path

import pytest

from tas.comparison.ray_cluster import ray_cluster

RUN = "echo >> begun; [ $(wc -l < begun) = 2 ] || sleep 60"
"""Ends at once when it is begun for the second time."""


@pytest.mark.slow
def test_what_a_lost_node_was_at_begins_anew_on_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = pytest.importorskip("ray.cluster_utils")
    monkeypatch.chdir(tmp_path)
    cluster = nodes.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        lost = cluster.add_node(num_cpus=1)
        with ray_cluster(cluster.address, 1.0, 0.0) as executor:
            run = executor.submit(subprocess.call, ["sh", "-c", RUN])
            deadline = time.monotonic() + 300  # ray starts in seconds, unless the machine is busy
            while not Path("begun").exists():
                assert time.monotonic() < deadline, "no node began the run"
                time.sleep(0.1)
            cluster.remove_node(lost, allow_graceful=False)
            cluster.add_node(num_cpus=1)
            assert run.result(timeout=120) == 0
        assert Path("begun").read_text() == "\n\n"
    finally:
        cluster.shutdown()
