"""Many files in one request, worked off one by one, through kills and restarts."""
