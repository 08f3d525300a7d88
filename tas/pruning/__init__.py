"""Smaller networks by other methods than the search: what `tas compare` compares it with."""
