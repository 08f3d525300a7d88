"""Times of calls, by turns, where they run, and what they say of networks that were not timed."""

import logging

# Torch's timer brings it along, and it would say, above every table, that a machine has CUDA's compiler but no GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
