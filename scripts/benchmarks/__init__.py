"""Benchmarks: what a call costs, beside what others would cost, in one run (scripts/bench)."""
