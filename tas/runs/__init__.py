"""Runs: what a run leaves in its directory, and how it is found again."""
