"""What a network takes when it runs: time, memory, size; of two networks by turns, so that they can be compared."""
