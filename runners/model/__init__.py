"""Frozen values every stage shares: plan, references, statuses, events, errors.

Imports nothing but the standard library.
"""
