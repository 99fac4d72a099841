"""A drill's own process: it sends real audio, breaks something, watches, and restores."""
