"""Time how long a search takes to answer a budget from its scores, without and with draws, and whether twice the same.

    OMP_NUM_THREADS=1 python benchmarks/answer_time.py

What the networks said is made up from random elasticities and a little noise; a row is printed a network and target,
with seconds of processor time.
"""

import argparse
import json
import time

import numpy as np
import torch

from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.networks import open_network
from tas.search.conclusion import Scored, conclude
from tas.search.elasticities import Terms
from tas.search.probing import Probe, random_networks
from tas.space.of_network import search_space
from tas.space.space import SearchSpace


def made_up(space: SearchSpace, count: int) -> list[Probe]:
    """What networks might have said, by seed 0."""
    terms, generator = Terms(space), np.random.default_rng(0)
    elasticities = np.abs(0.02 + 0.01 * generator.standard_normal(len(terms.names)))
    probes = []
    for network in random_networks(space, count, torch.Generator().manual_seed(0)):
        loss = 1 - float(terms.of(network) @ elasticities) + 0.01 * generator.standard_normal()
        probes.append(Probe(loss, 0.5, dict(network.widths), dict(network.depths)))
    return probes


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["resnet110", "torchvision/mobilenet_v2"])
    parser.add_argument("--targets", nargs="+", type=float, default=[0.5, 0.3])
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    for name in options.networks:
        size = 32 if "/" not in name else 224
        space = search_space(open_network(name, 10), torch.zeros(1, 3, size, size))
        scored = Scored(space, made_up(space, options.probes))
        for target in options.targets:
            budgets, times = [Budget(target * FLOPS.exact(space.plan, space.full))], [time.process_time()]
            scored.best(budgets)
            times.append(time.process_time())
            first = conclude(scored, budgets, options.draws, seed=0)
            times.append(time.process_time())
            same = first.standing == conclude(scored, budgets, options.draws, seed=0).standing
            best, drawn = np.diff(times).round(2).tolist()
            terms = len(scored.terms.names)
            row = {
                "network": name,
                "terms": terms,
                "target": target,
                "best_s": best,
                "concluded_s": drawn,
                "same": same,
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
