"""Runner backends: ways to isolate a run, one line each in ``KINDS``."""
