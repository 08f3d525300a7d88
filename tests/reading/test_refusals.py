"""Networks that cannot be read are refused in one line that says what was found."""

import inspect
import re

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from tas.errors import TasError
from tas.reading.readers import read_plan
from tests.parity import assert_parity
from tests.small_networks import Made, chain, conv, pooled

IMAGE = (3, 8, 8)


def refusal(network: nn.Module, shape: tuple[int, ...] = IMAGE) -> str:
    with pytest.raises(TasError) as caught:
        read_plan(network, shape, "mine")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("mine ")
    return line


def made(path) -> Made:
    return Made(path, a=conv(3, 8), fc=nn.Linear(8, 5))


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 5)

    def forward(self, x):
        if x.mean() > 0:
            x = -x
        return self.fc(pooled(x))


def test_control_flow_that_depends_on_the_data_is_named_by_file_and_line():
    lines, start = inspect.getsourcelines(Deciding)
    number = start + next(index for index, line in enumerate(lines) if "if x.mean()" in line)
    expected = f"its forward pass depends on the data ({__file__}:{number}: if x.mean() > 0:)"
    assert refusal(Deciding()) == f"mine cannot be read: {expected}"


def test_an_error_in_the_forward_pass_is_named_by_file_and_line():
    said = refusal(made(lambda net, x: net.fc(pooled(net.b(x)))))
    assert re.fullmatch(rf"mine cannot be read: .*has no attribute 'b' \({re.escape(__file__)}:\d+: .*\)", said)


def test_another_input_size_is_needed():
    said = refusal(chain(conv(3, 8), nn.Conv2d(8, 8, 11)))
    assert said.startswith("mine does not take images of 3x8x8 (channels, height, width): ")
    said = refusal(nn.Sequential(conv(3, 8), nn.Flatten(), nn.Linear(8 * 49, 5)))
    assert said.startswith("mine does not take images of 3x8x8 (channels, height, width): ")
    assert refusal(chain(conv(1, 8))).startswith("mine does not take images of 3x8x8")


def checked(holds, message):
    """A forward pass that asserts something of the shape, as torchvision's and timm's vision transformers do."""

    def path(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        holds(x.shape[2], message(x.shape[2]))
        return net.fc(pooled(net.a(x)))

    return made(path)


def raising(height: int, message: str) -> None:
    if height != 16:
        raise ValueError(message)


@pytest.mark.parametrize("holds", [lambda height, message: torch._assert(height == 16, message), raising])
def test_a_forward_pass_that_asserts_another_size_says_so_itself(holds):
    network = checked(holds, lambda height: f"Wrong image height! Expected 16 but got {height}!")
    said = "mine does not take images of 3x8x8 (channels, height, width): Wrong image height! Expected 16 but got 8!"
    assert refusal(network) == said


def test_an_assertion_without_a_message_is_named_by_its_kind():
    def path(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] != 16:
            raise AssertionError
        return net.fc(pooled(net.a(x)))

    assert refusal(made(path)).endswith("3x8x8 (channels, height, width): AssertionError")


def test_a_vision_transformer_for_another_size_is_refused_by_its_own_words():
    network = torchvision.models.VisionTransformer(16, 8, 1, 2, 8, 16, num_classes=5)
    said = refusal(network)
    assert said.endswith("3x8x8 (channels, height, width): Wrong image height! Expected 16 but got 8!")
    assert read_plan(network, (3, 16, 16)).logits == 5


def test_no_word_of_stand_ins_where_a_network_runs_that_cannot_be_traced():
    def path(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        raising(16 + x.unknown, f"{x}")
        return net.fc(pooled(net.a(x)))

    assert "Proxy" not in refusal(made(path))


def test_a_network_that_runs_but_that_torch_fx_cannot_follow_is_named_by_file_and_line():
    def path(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.Tensor):
            raise ValueError(f"expected a tensor, got {x}")
        return net.fc(pooled(net.a(x.view(int(x.shape[0]), 3, 8, 8))))

    said = refusal(made(path))
    assert re.fullmatch(rf"mine cannot be read: torch\.fx cannot follow .* \({re.escape(__file__)}:\d+: .*\)", said)


def test_a_norm_of_two_layers_that_have_it_each_for_itself():
    norm = nn.BatchNorm2d(8)
    assert refusal(chain(conv(3, 8), norm, conv(8, 8), norm)) == (
        "mine cannot be read: its module '1' is used in several places"
    )


def test_modules_without_parameters_may_stand_anywhere():
    act = nn.ReLU()
    assert_parity(chain(conv(3, 8), act, conv(8, 8), act), IMAGE, count=1)


def test_two_modules_own_one_parameter():
    network = chain(conv(3, 8), conv(8, 8), conv(8, 8))
    network[2].weight = network[1].weight
    assert refusal(network) == "mine cannot be read: 1.weight and 2.weight are one parameter"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (lambda net, x: (net.fc(pooled(net.a(x))), x), "a tuple"),
        (lambda net, x: [net.fc(pooled(net.a(x)))], "a list"),
        (lambda net, x: {"out": net.fc(pooled(net.a(x)))}, "a dict"),
        (lambda net, x: net.a(x), "a tensor of shape (127, 8, 8, 8) for 127 images"),
        (lambda net, x: net.fc(pooled(net.a(x)).mean(0)), "a tensor of shape (5,) for 127 images"),
    ],
)
def test_something_else_than_logits_comes_out(path, found):
    assert refusal(made(path)) == f"mine gives {found}; it must give one tensor of logits, (images, classes)"


def test_nothing_is_there_to_search_where_layers_are_computed_without_their_modules():
    said = refusal(made(lambda net, x: F.linear(pooled(F.conv2d(x, net.a.weight)), net.fc.weight)))
    assert said.startswith("mine has nothing to search: no width or depth of it can be smaller")


def test_nothing_is_there_to_search():
    said = refusal(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)))
    assert said.startswith("mine has nothing to search: no width or depth of it can be smaller")
    assert "found 1 Flatten, 1 Linear" in said
    said = refusal(chain(conv(3, 8), nn.LocalResponseNorm(2)))
    assert said.endswith("; 0: 1 reads it, and TAS cannot make a LocalResponseNorm smaller")


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_network_that_cannot_be_copied():
    assert refusal(chain(nn.utils.weight_norm(conv(3, 8)))).startswith("mine cannot be copied: Only Tensors created")


def test_further_arguments_of_the_forward_pass_keep_their_defaults():
    class Optional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.fc = conv(3, 8), nn.Linear(8, 5)

        def forward(self, images, features=False, mask=None, *, scale=2):
            if mask is not None:
                images = images * mask
            return self.a(images) if features else self.fc(pooled(scale * self.a(images)))

    assert read_plan(Optional(), IMAGE).widths == {"a": 8}


def test_tensors_that_are_neither_parameters_nor_buffers_are_no_obstacle():
    network = made(lambda net, x: net.fc(pooled(net.a((x - net.mean) / torch.tensor([1.0, 2, 3]).view(3, 1, 1).to(x)))))
    network.mean = torch.rand(3, 1, 1)
    assert_parity(network, IMAGE, count=1)


def test_a_second_output_in_training_is_named():
    class Auxiliary(Made):
        def forward(self, x):
            logits = super().forward(x)
            return (logits, logits) if self.training else logits

    network = Auxiliary(lambda net, x: net.fc(pooled(net.a(x))), a=conv(3, 8), fc=nn.Linear(8, 5))
    assert refusal(network) == "mine in training gives a tuple; it must give one tensor of logits, (images, classes)"
