"""Benchmarks: what a call costs, beside its peers, in one run (scripts/bench)."""
