"""The order and the augmentation of training images as functions of seed and epoch, so that runs can be resumed, also
inside of an epoch."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler

Batch = tuple[Tensor, Tensor]
"""Images, (N, C, H, W) float32, and their classes, (N,) int64."""


class EpochSampler(DistributedSampler[int]):
    """A shuffle that is a function of seed and epoch alone, so that a resumed run sees what an unbroken one would.

    Several processes share it: what N of them see in a step is one batch of a single process with N times the batch
    size. Lightning calls `set_epoch`, and leaves a DistributedSampler as it is.
    """

    def __init__(self, data: Dataset, seed: int) -> None:
        shared = distributed.is_available() and distributed.is_initialized()
        place = (distributed.get_world_size(), distributed.get_rank()) if shared else (1, 0)
        super().__init__(cast(Any, data), *place, seed=seed, drop_last=True)
        self.begin = 0
        """Images of this process that the next epoch leaves out at its start."""

    def __iter__(self) -> Iterator[int]:
        begin, self.begin = self.begin, 0
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(cast(Any, self.dataset)), generator=generator).tolist()
        return iter(order[self.rank : self.total_size : self.num_replicas][begin:])


class WorkerSeeded(Dataset[Batch]):
    """A dataset for workers that outlive an epoch: how it augments a batch depends on one draw per epoch, made in the
    main process, and on the batch's first index; not on the worker, nor on what that did before.

    Args:
        data: The dataset. Its randomness must be that of torch's default generator.
    """

    def __init__(self, data: Dataset[Batch]) -> None:
        self.data = data
        # Shared, so that the workers see each new draw.
        self.drawn: Tensor = cast(Any, torch.zeros((), dtype=torch.int64)).share_memory_()

    def draw(self) -> None:
        """Draw for one epoch, from the default generator."""
        self.drawn.random_()

    def __len__(self) -> int:
        return len(cast(Any, self.data))

    def __getitems__(self, indices: list[int]) -> Batch:
        torch.default_generator.manual_seed(int(self.drawn) + indices[0])
        return cast(Any, self.data).__getitems__(indices)


class LateDataLoader(DataLoader):
    """A DataLoader that draws its seed and its order when the first batch is asked for.

    Lightning makes the iterator of a run's first epoch before it sets the epoch, that of the others after; a resumed
    run would see other images than an unbroken one.
    """

    seen = 0
    """Batches of the epoch that were seen before the run was interrupted."""

    def go_on(self, seen: int, drawn: int) -> None:
        """Begin the next epoch behind so many batches, with what was drawn for it, and draw nothing for that."""
        self.seen = seen % len(self)  # beside a longer loader, one begins anew within an epoch
        if isinstance(self.dataset, WorkerSeeded):
            self.dataset.drawn.fill_(drawn)

    @property
    def drawn(self) -> int:
        """What was drawn for the epoch."""
        return int(self.dataset.drawn) if isinstance(self.dataset, WorkerSeeded) else 0

    def __iter__(self) -> Any:
        """The batches of one epoch."""
        seen, self.seen = self.seen, 0
        if seen:
            assert isinstance(self.sampler, EpochSampler) and self.batch_size is not None
            self.sampler.begin = seen * self.batch_size
            with torch.random.fork_rng(devices=[]):
                batches = super().__iter__()
        else:
            if isinstance(self.dataset, WorkerSeeded):
                self.dataset.draw()
            batches = super().__iter__()
        yield from batches


def training_loader(dataset: Dataset[Batch], batch_size: int, workers: int, seed: int) -> DataLoader:
    """Shuffled full batches; a rest too small for one is left out of the epoch, since batch norm would feel it.

    Args:
        dataset: Augmented images; its `__getitems__` gives a batch.
        batch_size: Images in a batch, at most; a smaller dataset gives smaller ones.
        workers: Processes that load images, kept from epoch to epoch; 0 loads in this one.
        seed: Of the shuffle.
    """
    sampler = EpochSampler(dataset, seed)
    return LateDataLoader(
        WorkerSeeded(dataset) if workers else dataset,
        batch_size=min(batch_size, len(sampler)),
        sampler=sampler,
        drop_last=True,
        collate_fn=as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pinned(workers),
        # Starting workers draws a seed, which WorkerSeeded leaves unused; from the default generator it would be one
        # draw more in a run's first epoch than in the others.
        generator=torch.Generator() if workers else None,
    )


def judging_loader(dataset: Dataset[Batch], batch_size: int, workers: int) -> DataLoader:
    """All images, in order."""
    return DataLoader(
        dataset, batch_size=batch_size, collate_fn=as_it_is, num_workers=workers, pin_memory=pinned(workers)
    )


def as_it_is(batch: Any) -> Any:
    """What there is to collate where a dataset gives batches."""
    return batch


def pinned(workers: int) -> bool:
    """Whether batches go into memory from which a GPU copies while it computes."""
    return workers > 0 and torch.cuda.is_available()
