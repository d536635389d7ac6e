"""Benchmarks: every figure beside its baselines, in one run on one server and the same killmails."""
