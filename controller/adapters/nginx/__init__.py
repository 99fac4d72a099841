"""nginx as the router: rendered configuration, launcher, control socket, access log."""
