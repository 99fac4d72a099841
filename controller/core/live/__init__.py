"""Live traffic judged while it flows: anytime-valid tests with the sticky key as the unit."""
