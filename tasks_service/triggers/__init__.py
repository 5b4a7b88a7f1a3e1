"""Trigger kinds: what an event or the time of day means for a task.

Pure: no store, no clock.
"""
