import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tas.data.loaders import EpochSampler, judging_loader, training_loader


class Noise(Dataset[tuple[Tensor, Tensor]]):
    """Batches that are all augmentation: a random number for each index."""

    def __len__(self) -> int:
        return 12

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        return torch.rand(len(indices)), torch.tensor(indices)


def epoch_of(loader: DataLoader, epoch: int, seed: int = 0) -> dict[int, float]:
    """Index -> random number, in the order in which an epoch brings them; set up as Lightning and the trainer do."""
    assert isinstance(loader.sampler, EpochSampler)
    batches = iter(loader)
    loader.sampler.set_epoch(epoch)
    torch.manual_seed(seed * 1_000_003 + epoch)
    return {int(index): float(number) for numbers, indices in batches for number, index in zip(numbers, indices)}


def order(seed: int, epoch: int, sampler: EpochSampler | None = None) -> list[int]:
    sampler = sampler or EpochSampler(TensorDataset(torch.arange(50)), seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_shuffle_is_a_function_of_seed_and_epoch_alone() -> None:
    sampler = EpochSampler(TensorDataset(torch.arange(50)), 1)
    unbroken = [order(1, epoch, sampler) for epoch in range(3)]
    torch.manual_seed(99)
    resumed = order(1, 2)
    assert resumed == unbroken[2]
    assert all(sorted(shuffle) == list(range(50)) for shuffle in unbroken)
    assert len({tuple(shuffle) for shuffle in [*unbroken, order(2, 0), order(2, 1), order(2, 2)]}) == 6


def test_the_shuffle_neither_reads_nor_moves_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    order(0, 0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_augmented_as_a_function_of_seed_and_epoch_alone(workers: int) -> None:
    loader = training_loader(Noise(), 4, workers, seed=0)
    unbroken = [epoch_of(loader, epoch) for epoch in range(3)]
    resumed = training_loader(Noise(), 4, workers, seed=0)
    assert [list(epoch_of(resumed, epoch).items()) for epoch in (1, 2)] == [list(e.items()) for e in unbroken[1:]]
    numbers = {number for epoch in [*unbroken, epoch_of(loader, 0, seed=1)] for number in epoch.values()}
    assert len(numbers) == 4 * 12


def test_the_number_of_workers_changes_nothing() -> None:
    one, two = (epoch_of(training_loader(Noise(), 4, workers, seed=0), 0) for workers in (1, 2))
    assert list(one.items()) == list(two.items())


def test_the_first_epoch_of_a_run_draws_no_more_than_another() -> None:
    loader = training_loader(Noise(), 4, 2, seed=0)
    states = []
    for _ in range(2):
        epoch_of(loader, 0)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("workers", [0, 2])
def test_judging_brings_every_index_in_order_the_last_batch_being_short(workers: int) -> None:
    batches = [indices.tolist() for _, indices in judging_loader(Noise(), 5, workers)]
    assert batches == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]


def test_workers_outlive_an_epoch() -> None:
    loader = training_loader(Noise(), 4, 2, seed=0)
    epoch_of(loader, 0)
    workers = [worker.pid for worker in loader._iterator._workers]
    epoch_of(loader, 1)
    assert [worker.pid for worker in loader._iterator._workers] == workers


@pytest.mark.parametrize(("workers", "cuda", "pinned"), [(2, True, True), (0, True, False), (2, False, False)])
def test_workers_batches_are_pinned_for_a_gpu(
    workers: int, cuda: bool, pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert training_loader(Noise(), 4, workers, seed=0).pin_memory is pinned
    assert judging_loader(Noise(), 4, workers).pin_memory is pinned
