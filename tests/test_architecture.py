"""Architectures: the JSON file between search and training, and the networks built from it."""

import json
from collections.abc import Callable

import pytest
import torch

from tas.architecture import Architecture
from tas.cutting.build import build
from tas.errors import TasError
from tas.networks import NETWORKS
from tests.spaces import unpruned


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_saved_loads_equal(network, tmp_path):
    full = unpruned(network, num_classes=7, in_channels=1)
    full.save(tmp_path / "architecture.json")
    assert Architecture.load(tmp_path / "architecture.json") == full


def test_a_saved_architecture_keeps_what_was_chosen(tmp_path):
    full = unpruned("resnet20", 10)
    widths = {name: width - position % 3 for position, (name, width) in enumerate(full.widths.items())}
    small = Architecture("resnet20", 10, 3, 32, widths, {"stage1": 1, "stage2": 2, "stage3": 3})
    small.save(tmp_path / "architecture.json")
    assert Architecture.load(tmp_path / "architecture.json") == small != full


def test_full_has_every_searched_convolution_at_its_width_and_every_stage_at_its_depth():
    full = unpruned("resnet20", 10)
    assert full.depths == {"stage1": 3, "stage2": 3, "stage3": 3}
    assert len(full.widths) == 1 + 3 * 3 * 2
    for name, width in full.widths.items():
        assert width == {"conv1": 16, "stage1": 16, "stage2": 32, "stage3": 64}[name.split(".")[0]]


def test_full_of_bottlenecks_is_four_times_as_wide_at_the_end_of_each_block():
    full = unpruned("resnet164", 10)
    assert len(full.widths) == 1 + 3 * 18 * 3
    for name, width in full.widths.items():
        if name != "conv1":
            base = {"stage1": 16, "stage2": 32, "stage3": 64}[name.split(".")[0]]
            assert width == (4 * base if name.endswith("conv3") else base)


def fields_of_resnet20() -> dict:
    full = unpruned("resnet20", 10)
    return {
        "network": full.network,
        "num_classes": full.num_classes,
        "in_channels": full.in_channels,
        "image_size": full.image_size,
        "widths": dict(full.widths),
        "depths": dict(full.depths),
    }


def put(*path: object) -> Callable[[dict], None]:
    """A change of the fields: put(key, ..., value) sets, however deep, the last key to the value."""
    *keys, last, value = path

    def change(fields: dict) -> None:
        for key in keys:
            fields = fields[key]
        fields[last] = value

    return change


def rename_first_width(fields: dict) -> None:
    fields["widths"] = {"convl" if name == "conv1" else name: width for name, width in fields["widths"].items()}


WRONG_FIELDS = {
    # what is wrong: (the change, what the message must say beside the file's name)
    "a key too many": (put("colour", "red"), ["network, num_classes, in_channels, image_size, widths, depths"]),
    "a key too few": (
        lambda fields: fields.pop("depths"),
        ["network, num_classes, in_channels, image_size, widths, depths"],
    ),
    "an unknown network": (put("network", "resnet21"), ["'resnet21'", "did you mean 'resnet", *NETWORKS]),
    "a network that is a number": (put("network", 20), ["20", "a network's name"]),
    "a network that is null": (put("network", None), ["None", "a network's name"]),
    "a network that is a list": (put("network", ["resnet20"]), ["resnet20", "a network's name"]),
    "the layers of another network": (put("network", "resnet32"), ["widths", "'stage1.3.conv1'", "resnet32"]),
    "the layers of a deeper network": (
        put("widths", dict(unpruned("resnet32", 10).widths)),
        ["widths", "'stage1.3.conv1'", "resnet20"],
    ),
    "a misspelt layer": (rename_first_width, ["widths", "'convl'", "did you mean 'conv1'"]),
    "a missing layer": (lambda fields: fields["widths"].pop("stage2.1.conv2"), ["widths", "'stage2.1.conv2'"]),
    "a missing stage": (lambda fields: fields["depths"].pop("stage3"), ["depths", "'stage3'"]),
    "an unknown stage": (put("depths", "stage4", 1), ["depths", "'stage4'"]),
    "a width above the layer's": (put("widths", "conv1", 17), ["widths", "'conv1'", "17", "1 to 16"]),
    "a depth above the stage's": (put("depths", "stage2", 4), ["depths", "'stage2'", "4", "1 to 3"]),
    "a width of zero": (put("widths", "stage3.2.conv1", 0), ["'stage3.2.conv1'", "0", "from 1 up"]),
    "a negative width": (put("widths", "stage3.2.conv1", -1), ["'stage3.2.conv1'", "-1", "from 1 up"]),
    "a depth of zero": (put("depths", "stage1", 0), ["'stage1'", "0", "from 1 up"]),
    "a width that is a bool": (put("widths", "conv1", True), ["'conv1'", "True", "from 1 up"]),
    "a depth that is a bool": (put("depths", "stage1", True), ["'stage1'", "True", "from 1 up"]),
    "a width that is a float": (put("widths", "conv1", 8.0), ["'conv1'", "8.0", "from 1 up"]),
    "a depth that is a float": (put("depths", "stage1", 2.0), ["'stage1'", "2.0", "from 1 up"]),
    "a width that is text": (put("widths", "conv1", "8"), ["'conv1'", "'8'", "from 1 up"]),
    "a width that is null": (put("widths", "conv1", None), ["'conv1'", "None", "from 1 up"]),
    "widths that are a list": (put("widths", [16, 16]), ["widths"]),
    "depths that are a number": (put("depths", 3), ["depths"]),
    "no classes": (put("num_classes", 0), ["num_classes", "0", "from 1 up"]),
    "classes that are a bool": (put("num_classes", True), ["num_classes", "True", "from 1 up"]),
    "classes that are a float": (put("num_classes", 10.0), ["num_classes", "10.0", "from 1 up"]),
    "no channels": (put("in_channels", 0), ["in_channels", "0", "from 1 up"]),
    "no image size": (lambda fields: fields.pop("image_size"), ["image_size"]),
    "an image size of zero": (put("image_size", 0), ["image_size", "0", "from 1 up"]),
    "channels that are text": (put("in_channels", "3"), ["in_channels", "'3'", "from 1 up"]),
}


OF_ANOTHER_NETWORK = [name for name in WRONG_FIELDS if "network" in name and "that is" not in name] + [
    *("a misspelt layer", "a missing layer", "a missing stage", "an unknown stage"),
    *("a width above the layer's", "a depth above the stage's"),
]
"""What is seen when the network is made: the file alone does not tell it."""


def assert_refused(path, says):
    with pytest.raises(TasError) as error:
        Architecture.load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for part in says:
        assert part in message


@pytest.mark.parametrize("wrong", OF_ANOTHER_NETWORK)
def test_what_is_not_the_network_s_own_is_refused_when_it_is_built(wrong, tmp_path):
    change, says = WRONG_FIELDS[wrong]
    fields = fields_of_resnet20()
    change(fields)
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(TasError) as error:
        build(Architecture.load(path))
    assert "\n" not in str(error.value)
    for part in says:
        assert part in str(error.value)


@pytest.mark.parametrize("wrong", [name for name in WRONG_FIELDS if name not in OF_ANOTHER_NETWORK])
def test_wrong_fields_are_refused_with_the_file_and_what_is_allowed(wrong, tmp_path):
    change, says = WRONG_FIELDS[wrong]
    fields = fields_of_resnet20()
    change(fields)
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(fields))
    assert_refused(path, says)


WRONG_TEXTS = {
    "an empty file": (b"", "JSON"),
    "truncated": (json.dumps(fields_of_resnet20()).encode()[:-20], "JSON"),
    "not JSON": (b"widths:\n  conv1: 16\n", "JSON"),
    "not text": (b"\xff\xfe\x00\x80", "JSON"),
    "nested without end": (b"[" * 100_000, "JSON"),
    "a list": (b"[1, 2]", "network, num_classes, in_channels, image_size, widths, depths"),
    "a number": (b"20", "network, num_classes, in_channels, image_size, widths, depths"),
    "null": (b"null", "network, num_classes, in_channels, image_size, widths, depths"),
}


@pytest.mark.parametrize("wrong", WRONG_TEXTS)
def test_a_file_without_an_architecture_is_refused_by_name(wrong, tmp_path):
    text, says = WRONG_TEXTS[wrong]
    path = tmp_path / "architecture.json"
    path.write_bytes(text)
    assert_refused(path, [says])


def test_a_path_without_a_file_is_refused_by_name(tmp_path):
    assert_refused(tmp_path / "absent.json", [])
    assert_refused(tmp_path, [])


def test_an_architecture_made_in_python_is_checked_too():
    full = unpruned("resnet20", 10)
    with pytest.raises(TasError, match="from 1 up"):
        Architecture("resnet20", 10, 3, 32, {**full.widths, "conv1": 0}, full.depths)
    with pytest.raises(TasError, match="num_classes"):
        Architecture("resnet20", 0, 3, 32, full.widths, full.depths)
    with pytest.raises(TasError, match="1 to 16"):
        build(Architecture("resnet20", 10, 3, 32, {**full.widths, "conv1": 32}, full.depths))
    with pytest.raises(TasError, match="resnet20, resnet32"):
        build(Architecture("resnet18", 10, 3, 32, full.widths, full.depths))


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_build_gives_a_network_that_maps_images_to_logits(network, in_channels):
    built = build(unpruned(network, 7, in_channels))
    assert all(parameter.requires_grad for parameter in built.parameters())
    for size in (8, 9, 32):
        with torch.no_grad():
            logits = built(torch.randn(2, in_channels, size, size))
        assert logits.shape == (2, 7)
        assert logits.isfinite().all()


@pytest.mark.parametrize("network", ["resnet20", "resnet164"])
def test_every_parameter_of_a_built_network_gets_a_gradient(network):
    # The narrowest and, in its last stage, the shallowest network has every kind of shortcut.
    full = unpruned(network, 5)
    widths = {name: 1 + position % 4 for position, name in enumerate(full.widths)}
    built = build(Architecture(network, 5, 3, 32, widths, {"stage1": 3, "stage2": 2, "stage3": 1}))
    built(torch.randn(2, 3, 9, 9)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in built.parameters())


def test_build_gives_the_chosen_widths_and_depths():
    full = unpruned("resnet20", 10)
    widths = {name: 1 + position for position, name in enumerate(full.widths) if position < 16}
    built = build(
        Architecture("resnet20", 10, 3, 32, {**full.widths, **widths}, {"stage1": 3, "stage2": 2, "stage3": 1})
    )
    assert [len(stage) for _, stage in built.stages()] == [3, 2, 1]
    for name, width in {**full.widths, **widths}.items():
        stage, *block = name.split(".")
        if not block or int(block[0]) < {"stage1": 3, "stage2": 2, "stage3": 1}[stage]:
            assert built.get_submodule(name).out_channels == width


def test_build_starts_afresh_each_time_and_repeats_under_a_seed():
    full = unpruned("resnet20", 10)
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(build(full).conv1.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_printed_it_shows_what_is_kept_and_marks_widths_of_blocks_that_are_not():
    full = unpruned("resnet20", 10)
    small = full.with_counts({**full.widths, "stage2.0.conv1": 7}, {"stage1": 3, "stage2": 1, "stage3": 2})
    lines = str(small).splitlines()
    assert lines[0] == "resnet20, 10 classes, images of 3x32x32"
    assert "  stage2          1" in lines and "  stage2.0.conv1  7" in lines
    marked = {line.split()[0]: line.split("not there: ")[1] for line in lines if "not there" in line}
    gone = ("stage2.1.conv1", "stage2.1.conv2", "stage2.2.conv1", "stage2.2.conv2", "stage3.2.conv1", "stage3.2.conv2")
    assert marked == {name: f"{name.partition('.')[0]} ends before it" for name in gone}
    assert "not there" not in str(full)


def test_widths_are_marked_by_the_names_of_stages_that_are_a_part_of_their_container():
    widths = dict.fromkeys(
        ["features.1.a", "features.2.a", "features.3.a", "features.4.0.b", "features.5.a", "head"], 8
    )
    small = Architecture("torchvision/mobilenet_v2", 10, 3, 64, widths, {"features.2-4": 1})
    assert [name for name in widths if small.left_out_with(name)] == ["features.3.a", "features.4.0.b"]
