"""Fixtures of small worlds."""

from tests.invariants.world import ready, shape, source, worlds

__all__ = ["ready", "shape", "source", "worlds"]
