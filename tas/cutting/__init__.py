"""Cutting: smaller networks out of a network and its plan."""
