"""A throw-away Docker-in-Docker engine per run."""
