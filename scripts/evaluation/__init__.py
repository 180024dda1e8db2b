"""Measures the quality and the latency of the recommendations on a temporary graph."""
