import pytest
import torch
from torch import nn

from tas.errors import TasError
from tas.training.kept_zeros import zeros_kept


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4 * 16, 3))


def steps(net: nn.Module, count: int = 3) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True)
    images = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(count):
        optimizer.zero_grad()
        net(images).square().mean().backward()
        optimizer.step()


def test_zeros_stay_and_all_else_is_trained() -> None:
    net = network()
    with torch.no_grad():
        net[0].weight[1] = 0
        net[5].weight[:, ::2] = 0
    masks = {name: net.get_submodule(name).weight != 0 for name in ("0", "5")}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with zeros_kept(net):
        steps(net)
    for name, mask in masks.items():
        weight = net.get_submodule(name).weight
        assert torch.equal(weight != 0, mask)
        assert isinstance(weight, nn.Parameter) and weight.is_leaf and weight.requires_grad
        assert (weight != before[f"{name}.weight"])[mask].all()
    assert not torch.equal(net[1].bias, before["1.bias"])  # a zero that is no weight
    assert not torch.equal(net[3].weight, before["3.weight"])


def test_afterwards_the_state_has_its_plain_names_and_the_network_its_function() -> None:
    net, names = network(), set(network().state_dict())
    with torch.no_grad():
        net[0].weight[1] = 0
    images = torch.randn(2, 1, 4, 4)
    with zeros_kept(net):
        steps(net)
        net.eval()
        inside = net(images)
    assert set(net.state_dict()) == names
    torch.testing.assert_close(net(images), inside)
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_a_training_step_is_that_of_a_gradient_with_the_zeros_taken_out() -> None:
    sparse, literal = network(), network()
    for net in (sparse, literal):
        with torch.no_grad():
            net[0].weight[1] = 0
    mask = literal[0].weight.detach() != 0
    literal[0].weight.register_hook(lambda gradient: gradient * mask)
    with zeros_kept(sparse):
        steps(sparse)
    steps(literal)
    for name, tensor in sparse.state_dict().items():
        torch.testing.assert_close(tensor, literal.state_dict()[name])


def test_the_names_are_plain_also_after_an_error() -> None:
    net = network()
    with torch.no_grad():
        net[0].weight[1] = 0
    with pytest.raises(KeyboardInterrupt), zeros_kept(net):
        raise KeyboardInterrupt
    assert set(net.state_dict()) == set(network().state_dict())


def test_a_network_without_a_zero_is_refused() -> None:
    with pytest.raises(TasError, match=r"no weight .* is zero"), zeros_kept(network()):
        pass
