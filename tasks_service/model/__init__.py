"""Frozen values of the service: tasks, runs, log chunks, tokens.

What the store keeps and the API shows. No rule lives here that needs a
database, a network or a clock.
"""
