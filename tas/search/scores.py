"""The scores by which a finished search chooses among networks: higher is better."""

from collections.abc import Sequence

import numpy as np

from tas.architecture import Architecture
from tas.runs.run import Run
from tas.search.conclusion import Scored
from tas.search.module import SearchModule
from tas.search.probing import probes_of
from tas.space.best import choices_of, count_of
from tas.space.milp import Array, log_of


def scores_of_search(run: Run, module: SearchModule, networks: Sequence[Architecture]) -> Array:
    """What a search says of networks of its space, (networks,): the score that it measured, where its strategy does,
    else the log-probability.

    Args:
        run: The search's.
        module: As its last epoch left it (`tas.search.task.reopen_search`).
        networks: Those to be scored.
    """
    space = module.supernet.space
    probes = probes_of(run).entries
    if probes:
        scored = Scored(space, probes)
        return scored.terms.matrix(networks) @ scored.terms.at_least(scored.posterior.mean)
    widths, depths = module.strategy.probabilities()
    logs = {name: log_of(probabilities) for name, probabilities in {**widths, **depths}.items()}
    return np.array(
        [
            sum(logs[name][candidates.index(count_of(one, name))] for name, candidates in choices_of(space).items())
            for one in networks
        ]
    )
