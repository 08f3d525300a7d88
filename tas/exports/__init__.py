"""A run's network as a file that other programs run, and whether that file computes the same."""
