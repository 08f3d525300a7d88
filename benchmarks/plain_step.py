"""How long a plain training step takes with the threads that the environment says: docs/speed.md, on a busy machine.

GOMP_SPINCOUNT=20000 python benchmarks/plain_step.py --network resnet20 --image-size 32 --batch-size 64

Prints the mean of the steps of some seconds, and how many they were; the first two do not count. Keep the cores busy
with other work, such as two of `python -c "while True: sum(range(10**6))"`, to see what waiting costs.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from tas.networks import open_network


def step_times(name: str, size: int, batch: int, seconds: float) -> list[float]:
    """Seconds of each step of SGD, in channels_last; at least two that count."""
    network = open_network(name, 10, 3).to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 4 or time.perf_counter() < end:
        began = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        times.append(time.perf_counter() - began)
    return times[2:]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    times = step_times(given.network, given.image_size, given.batch_size, given.seconds)
    print(f"{1e3 * statistics.mean(times):.0f} ms ({len(times)} steps, {torch.get_num_threads()} threads)")
