"""Thousands of rollouts at once: traffic, the live tests and the peers' checks, in numpy."""
