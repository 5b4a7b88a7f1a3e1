"""Notifier kinds: the end of a run in, a message out. Pure but for ``send``."""
