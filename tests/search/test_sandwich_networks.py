"""The sandwich strategy on networks of every kind that can be read: tied, grouped, concatenated widths, no norms."""

import pytest
import torch
from torch import Tensor

from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.search.finish import finish_search
from tas.search.module import SearchModule
from tas.search.strategy import Moment, iterate
from tas.space.of_network import search_space
from tas.supernet.supernet import Supernet
from tests.small_networks import SMALL


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("name", SMALL)
def test_any_network_that_can_be_read_is_trained_asked_and_handed_over(name: str, epochs: int) -> None:
    torch.manual_seed(0)
    network = SMALL[name]()
    images = torch.randn(2, 16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    space = search_space(network, images[0, :1], name="tests.small_networks:made")
    labels = torch.arange(16) % space.full.num_classes
    budget = Budget(0.6 * FLOPS.exact(space.plan, space.full), tolerance=0.2)
    how = Strategy(strategy="sandwich", probes=20, draws=10)
    module = SearchModule(Supernet(network, space), [budget], Recipe(epochs=epochs, lr=0.01), how)
    module.train()
    (optimizer,) = module.strategy.optimizers()
    if epochs:
        batch = {"weights": (images[0], labels)}
        iterate(module.strategy, batch, Moment(0, 1), [optimizer], Tensor.backward)
    found = finish_search(module, network, [budget], [(images[0], labels)], judging=lambda: [(images[1], labels)])
    standing = found.conclusion.standing
    assert standing is not None and standing.probes == 20
    assert found.costs["flops"] == FLOPS.exact(space.plan, found.architecture)
    module.supernet.eval(), found.network.eval()
    torch.testing.assert_close(module.supernet(images[1]), found.network(images[1]), rtol=1e-3, atol=1e-4)
