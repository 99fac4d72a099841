"""Faults for benchmarks/faults.py and the tests: how to inject them, and what is seen of them."""
