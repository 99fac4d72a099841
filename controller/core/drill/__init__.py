"""Drills: faults injected on purpose, with what must stay true, and what became of it."""
