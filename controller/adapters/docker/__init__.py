"""Nodes and the router as containers of a Docker engine."""
