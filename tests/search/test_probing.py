"""What a supernet is asked, and what it says of single networks."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cutting.build import build
from tas.cutting.cut import cut
from tas.data.loaders import Batch
from tas.errors import TasError
from tas.runs.run import Run
from tas.search.probing import CHANGES, ask, networks_near_the_full, probes_of, random_networks, write_probes
from tas.space.best import choices_of, count_of
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tests.parity import randomise, randomise_candidates
from tests.spaces import paper_space, unpruned

CPU = torch.device("cpu")


def space_of(**options: object) -> SearchSpace:
    """Of a ResNet-20 for grey images of 8x8 in three classes, its shortcuts identities, so that all can be cut."""
    return paper_space(unpruned("resnet20", 3, 1, 8), 8, **{"residuals": "tied"} | options)


@cache
def searched() -> tuple[SearchSpace, nn.Module, Supernet]:
    torch.manual_seed(0)
    space = space_of()
    network = build(space.full)
    randomise(network)
    supernet = Supernet(network, space)
    randomise_candidates(supernet)
    return space, network, supernet


def batch_of(count: int = 16, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.randint(3, (count,), generator=generator)


def drawn(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    return random_networks(space, count, torch.Generator().manual_seed(seed))


def changes(space: SearchSpace, network: Architecture) -> tuple[list[str], list[str]]:
    """The widths and the stages that are not full."""
    return (
        [name for name, candidates in space.widths.items() if network.widths[name] != candidates[-1]],
        [name for name, candidates in space.depths.items() if network.depths[name] != candidates[-1]],
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_is_said_of_a_network_is_what_it_does_cut_out_and_in_training(seed: int) -> None:
    space, network, supernet = searched()
    networks, (images, labels) = [space.full, space.smallest(), *drawn(space, 4, seed)], batch_of(seed=seed)
    probes = ask(supernet, networks, [(images, labels)], CPU)
    assert len(probes) == len(networks)
    for probe, one in zip(probes, networks):
        alone = cut(network, space.plan, one, supernet.weights(one)).train()
        with torch.no_grad():
            logits = alone(images)
        assert probe.loss == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-4)
        assert probe.accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()), abs=1e-6)
        assert (probe.widths, probe.depths) == (one.widths, one.depths)
    assert len({probe.loss for probe in probes}) == len(networks)


def test_of_several_batches_every_image_counts_as_much() -> None:
    space, _, supernet = searched()
    networks = [space.full, *drawn(space, 2)]
    batches = [batch_of(12, 0), batch_of(4, 1), batch_of(20, 2)]
    apart = [ask(supernet, networks, [batch], CPU) for batch in batches]
    for place, probe in enumerate(ask(supernet, networks, batches, CPU)):
        shares = [len(labels) / 36 for _, labels in batches]
        assert probe.loss == pytest.approx(sum(s * part[place].loss for s, part in zip(shares, apart)), rel=1e-5)
        hits = sum(s * part[place].accuracy for s, part in zip(shares, apart))
        assert probe.accuracy == pytest.approx(hits, abs=1e-6)


def test_all_networks_see_the_same_images_though_these_come_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space, _, supernet = searched()
    networks, batches = drawn(space, 3), [batch_of(8, 0), batch_of(8, 1)]
    seen: list[tuple[float, dict[str, int]]] = []
    forward = supernet.forward

    def spy(images: Tensor) -> Tensor:
        seen.append((float(images.sum()), {name: choice.drawn()[0] for name, choice in supernet.widths.items()}))
        return forward(images)

    def once() -> Iterator[Batch]:
        yield from batches

    monkeypatch.setattr(supernet, "forward", spy)
    ask(supernet, networks, once(), CPU)
    expected = [
        (float(images.sum()), {name: one.widths[name] for name in space.widths})
        for images, _ in batches
        for one in networks
    ]
    assert seen == expected


def test_what_is_said_of_a_network_does_not_depend_on_what_else_is_asked() -> None:
    space, _, supernet = searched()
    networks, batches = drawn(space, 3), [batch_of(8, 0), batch_of(8, 1)]
    together = ask(supernet, networks, batches, CPU)
    assert [ask(supernet, [one], batches, CPU)[0] for one in networks] == together
    assert ask(supernet, networks[::-1], batches, CPU) == together[::-1]


@pytest.mark.parametrize("training", [True, False])
def test_asking_teaches_the_supernet_nothing(training: bool) -> None:
    space, _, supernet = searched()
    supernet.train(training)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    ask(supernet, drawn(space, 3), [batch_of()], CPU)
    assert supernet.training == training and all(norm.training == training for norm in supernet.norms)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_a_supernet_that_has_gone_astray_is_told() -> None:
    space, network, _ = searched()
    astray = Supernet(network, space)
    with torch.no_grad():
        astray.weight_parameters()[0].fill_(torch.nan)
    with pytest.raises(TasError, match="--lr: the loss is nan"):
        ask(astray, [space.full], [batch_of()], CPU)


@pytest.mark.parametrize("seed", range(3))
def test_networks_near_the_full_start_with_it_and_have_few_changes(seed: int) -> None:
    space = space_of()
    networks = networks_near_the_full(space, 120, torch.Generator().manual_seed(seed))
    assert len(networks) == 120 and networks[0] == space.full
    counts = [tuple(map(len, changes(space, one))) for one in networks[1:]]
    # Every second one has a shorter stage, too.
    assert set(counts[::2]) == {(CHANGES, 1)} and set(counts[1::2]) == {(CHANGES, 0)}
    for name, candidates in choices_of(space).items():
        assert {count_of(one, name) for one in networks} <= set(candidates)
    narrowed = {name for one in networks for part in changes(space, one) for name in part}
    assert narrowed == choices_of(space).keys()
    assert networks == networks_near_the_full(space, 120, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("options", "widths", "stages"),
    [
        ({"search": "width"}, {CHANGES}, {0}),
        ({"search": "depth"}, {0}, {1}),
        ({"search": "depth", "exclude": ("stage?", "stage*")}, {0}, {0}),
        ({"search": "width", "exclude": ("stage?.?.conv1", "stage[23].*")}, {1}, {0}),  # conv1 alone
    ],
)
def test_networks_near_the_full_change_what_is_searched_and_nothing_else(
    options: dict[str, object], widths: set[int], stages: set[int]
) -> None:
    space = space_of(**options)
    counts = [changes(space, one) for one in networks_near_the_full(space, 20, torch.Generator().manual_seed(0))[1:]]
    assert {len(narrowed) for narrowed, _ in counts} == widths
    assert {len(shortened) for _, shortened in counts} == stages


def test_random_networks_have_every_candidate_about_as_often() -> None:
    space = space_of()
    networks = drawn(space, 800)
    for name, candidates in choices_of(space).items():
        counts = [sum(count_of(one, name) == count for one in networks) for count in candidates]
        assert sum(counts) == 800
        even = 800 / len(candidates)
        assert max(abs(count - even) for count in counts) < 5 * even**0.5
    assert networks == drawn(space, 800)
    assert networks[:5] != drawn(space, 5, seed=1)


def test_random_networks_of_a_space_have_equal_widths_where_they_are_tied() -> None:
    space = space_of()
    assert space.plan.tied
    for one in drawn(space, 20):
        assert all(one.widths[name] == one.widths[other] for name, other in space.plan.tied.items())


def test_what_was_measured_is_read_back_as_it_was(tmp_path: Path) -> None:
    space, _, supernet = searched()
    probes = ask(supernet, drawn(space, 3), [batch_of()], CPU)
    run = Run(tmp_path, go_on=True)
    assert probes_of(run).entries == []
    write_probes(run, probes)
    assert probes_of(run).entries == probes
    run.probes.write_text("[{}]")
    with pytest.raises(TasError, match="damaged"):
        probes_of(run)
