"""Distillation: what a student learns from its teachers."""
