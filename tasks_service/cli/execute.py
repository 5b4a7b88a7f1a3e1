"""Execute a plan here, in one process, without a server."""
