"""Space: what a search can choose between, and architectures chosen from it."""
