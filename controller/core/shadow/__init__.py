"""Copies of stable's requests to a new version: what both heard, and how often they disagree."""
