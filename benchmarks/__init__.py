"""Measurements of the whole, from outside: real processes, real audio, real nginx.

Each module runs alone, starts and stops what it needs, prints a table for people and ends with
one line of JSON."""
