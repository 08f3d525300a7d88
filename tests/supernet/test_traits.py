"""Any network is searched as what it is, or refused in one line: a zoo of traits, alone and in pairs."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import tas
from tas.cost.count import uncounted
from tas.cost.measures import FLOPS
from tas.cutting.cut import cut
from tas.errors import TasError
from tas.supernet.check import check_supernet, lively, run
from tas.supernet.supernet import Supernet
from tests.parity import counted_by_torch, random_choices, randomise_candidates
from tests.traits import REFUSED, TRAITS, Plain, with_traits

SHAPE = (3, 8, 8)
SEARCHED = [name for name in TRAITS if name not in REFUSED]
PAIRS = [(name, SEARCHED[(index + 7) % len(SEARCHED)]) for index, name in enumerate(SEARCHED)]
"""Each trait once before and once behind another."""


class Deep(nn.Module):
    """Blocks, each of which may be computed anew in the backward pass."""

    def __init__(self, c: int, within: bool, use_reentrant: bool = False) -> None:
        super().__init__()
        self.stem, self.blocks, self.fc = (
            nn.Conv2d(3, c, 3),
            nn.Sequential(*(Plain(c) for _ in range(3))),
            nn.Linear(c, 5),
        )
        self.within, self.use_reentrant = within, use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.use_reentrant) if self.within and self.training else block(x)
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("traits", [*((name,) for name in SEARCHED), *PAIRS], ids=" and ".join)
def test_a_network_of_traits_is_searched_as_what_it_is(traits: tuple[str, ...]) -> None:
    network = lively(with_traits(*traits)).double()
    space = tas.search_space(network, torch.empty(2, *SHAPE))
    assert len(space.widths) >= len(traits)  # at least the convolutions between the traits
    check_supernet(network, space)
    supernet = Supernet(network, space)
    randomise_candidates(supernet)
    images = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    for architecture in (space.full, space.smallest(), *random_choices(space, 2)):
        small = cut(network, space.plan, architecture, supernet.weights(architecture))
        supernet.force(architecture)
        # Evaluated again, they show whether the running statistics have changed alike.
        for training in (False, True, False):
            outputs = [run(either.train(training), images, "") for either in (supernet, small)]
            torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
        planned = FLOPS.exact(space.plan, architecture)
        assert planned == tas.flops(small, SHAPE)
        if uncounted(small, SHAPE) < 1e-9:
            assert planned == counted_by_torch(small, SHAPE)
        again = cut(lively(copy.deepcopy(network)), space.plan, architecture)
        again.load_state_dict(small.state_dict())
        torch.testing.assert_close(run(again.eval(), images, ""), outputs[1], rtol=0, atol=0)


@pytest.mark.parametrize("traits", [*((name,) for name in SEARCHED)], ids=" and ".join)
def test_a_step_of_a_mixture_gives_every_width_and_depth_a_gradient(traits: tuple[str, ...]) -> None:
    network = lively(with_traits(*traits))
    space = tas.search_space(network, torch.empty(2, *SHAPE))
    supernet, numbers = Supernet(network, space).train(), torch.Generator().manual_seed(0)
    supernet.sample(1.0, 2, numbers)
    logits = supernet(torch.randn(4, *SHAPE, generator=numbers))
    (logits * torch.randn(logits.shape, generator=numbers)).sum().backward()
    for name, choice in (*supernet.widths.items(), *supernet.depths.items()):
        if len(choice.candidates) > 1:
            assert choice.logits.grad is not None and choice.logits.grad.abs().sum() > 0, name


@pytest.mark.parametrize("trait", REFUSED)
def test_what_a_search_cannot_manage_is_refused_in_one_line(trait: str) -> None:
    with pytest.raises(TasError) as refused:
        network = with_traits(trait)
        check_supernet(network, tas.search_space(network, torch.empty(2, *SHAPE)))
    assert REFUSED[trait] in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda supernet: pickle.loads(pickle.dumps(supernet))])
def test_a_supernet_is_copied_after_a_mixed_pass(how: Callable[[Supernet], Supernet]) -> None:
    network = Deep(12, False)
    space = tas.search_space(network, torch.empty(2, *SHAPE))
    supernet = Supernet(network, space)
    supernet.sample(1.0, 2, torch.Generator().manual_seed(0))
    images = torch.randn(4, *SHAPE)
    supernet(images).sum().backward()
    supernet.force(space.smallest())
    twin = how(supernet)
    assert torch.equal(twin.eval()(images), supernet.eval()(images))
    twin.force(space.full)
    assert not torch.equal(twin(images), supernet(images))  # its choices are its own


def test_mixed_depths_learn_alike_with_and_without_checkpointing() -> None:
    gradients = []
    for within in (False, True):
        torch.manual_seed(0)
        network = Deep(12, within)
        supernet = Supernet(network, tas.search_space(network, torch.empty(2, *SHAPE))).train()
        supernet.sample(1.0, 2, torch.Generator().manual_seed(0))
        supernet(torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1))).square().sum().backward()
        gradients.append([parameter.grad for parameter in supernet.parameters()])
    assert sum(gradient is not None for gradient in gradients[0]) > 10
    for one, other in zip(*gradients):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
def test_a_training_step_that_fails_is_refused_in_one_line() -> None:
    network = Deep(12, True, use_reentrant=True)
    space = tas.search_space(network, torch.empty(2, *SHAPE))
    with pytest.raises(TasError, match="a training step of its supernet does not run: ") as refused:
        check_supernet(network, space)
    assert "\n" not in str(refused.value)
