"""The end of a search."""

import torch
from torch.utils.data import DataLoader, TensorDataset

import tas
from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.search.finish import finish_search
from tas.search.module import SearchModule
from tas.space.derivation import argmax, derive
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tests.search.test_module import SHAPE, fit, make_module, noise, planned


def test_the_end_of_a_search_is_a_network_inside_the_budget_with_the_supernet_s_weights() -> None:
    full, network, plan, _ = planned()
    space = SearchSpace.of(plan, full)  # no projection that would be fresh comes into a network of it
    budget = Budget(0.5 * FLOPS.exact(plan, full))
    module = SearchModule(
        Supernet(network, space), [budget], Recipe(epochs=1), Strategy(strategy="gumbel-mixture", warmup=0.0)
    )
    fit(module, batches=2)
    images, labels = noise(batches=2)
    loader = DataLoader(TensorDataset(images[0], labels), batch_size=4)
    found = finish_search(module, network, [budget], loader)
    assert found.met and found.reachable is None
    assert found.architecture == derive(space, *module.supernet.probabilities(), budget)
    assert found.conclusion.likeliest == argmax(space, *module.supernet.probabilities())
    assert found.costs == {
        "flops": tas.flops(found.network, SHAPE),
        "params": tas.parameters(found.network),
    }
    module.supernet.eval(), found.network.eval()
    torch.testing.assert_close(module.supernet(images[0]), found.network(images[0]), rtol=1e-4, atol=1e-5)


def test_where_no_network_meets_the_budget_the_end_says_what_is_next_to_it() -> None:
    _, network, plan, space = planned()
    module = make_module(epochs=1)
    images, labels = noise(batches=2)
    loader = DataLoader(TensorDataset(images[0], labels), batch_size=4)
    smallest = FLOPS.exact(plan, space.smallest())
    found = finish_search(module, network, [Budget(0.5 * smallest)], loader)
    assert not found.met
    assert found.architecture.depths == space.smallest().depths
    assert found.reachable == (smallest,)
