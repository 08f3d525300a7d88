"""Where the batches of a search go before its steps."""

import torch

from tas.data.digits import Digits
from tas.data.images import SearchData


def test_on_a_cpu_lightning_does_not_look_for_what_to_move() -> None:
    digits = Digits(batch_size=8)
    digits.setup()
    data, batch = SearchData(digits), {"weights": (torch.zeros(1), torch.zeros(1))}
    assert data.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [own.device.type for own in moved["weights"]] == ["meta", "meta"]
