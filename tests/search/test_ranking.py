"""Two judgements of the same networks, and how alike they order them."""

import math

import pytest
import torch
import torch.nn.functional as F

import tas
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.cutting.build import build
from tas.data.images import SearchData
from tas.data.opening import open_data
from tas.search.ranking import Judged, forced_loss, kendall_tau
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tests.spaces import plan_of, unpruned


def test_kendall_tau_counts_pairs_in_the_same_order_less_those_in_the_other():
    losses, accuracies = [0.1, 0.2, 0.3, 0.4], [0.9, 0.7, 0.8, 0.6]
    tau, p_value = kendall_tau([Judged(*pair, {}, {}) for pair in zip(losses, accuracies)])
    assert tau == pytest.approx((5 - 1) / 6) and 0 < p_value < 1
    assert kendall_tau([Judged(loss, -loss, {}, {}) for loss in losses])[0] == pytest.approx(1)
    assert kendall_tau([Judged(loss, loss, {}, {}) for loss in losses])[0] == pytest.approx(-1)
    assert math.isnan(kendall_tau([Judged(1.0, accuracy, {}, {}) for accuracy in accuracies])[0])


def test_the_forced_loss_is_that_of_the_cut_network_with_statistics_of_its_own():
    torch.manual_seed(0)
    full = unpruned("resnet20", 10, 1, 8)
    space = SearchSpace.of(plan_of("resnet20", 10, 1, 8), full)
    halves = SearchData(open_data("digits", "", None, batch_size=64, train_images=300))
    supernet = Supernet(build(full), space, "pad")
    budget = Budget(0.5 * FLOPS.exact(space.plan, full), 0.05)
    drawn = random_architecture(space, [budget], torch.Generator().manual_seed(0))
    batches = halves.train_dataloader()["weights"]
    loss = forced_loss(supernet, drawn, batches, halves.val_dataloader(), torch.device("cpu"))
    network = tas.cut(build(full), space.plan, drawn, supernet.weights(drawn)).eval()
    images, labels = (torch.cat(parts) for parts in zip(*halves.val_dataloader()))
    assert loss == pytest.approx(F.cross_entropy(network(images), labels).item(), rel=1e-4)
