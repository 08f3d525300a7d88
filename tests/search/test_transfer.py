"""Where the batches of a search go before its steps."""

import torch

from tests.search.test_module import make_module


def test_on_a_cpu_lightning_does_not_look_for_what_to_move() -> None:
    module, batch = make_module(), {"weights": (torch.zeros(1), torch.zeros(1))}
    assert module.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    moved = module.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [own.device.type for own in moved["weights"]] == ["meta", "meta"]
