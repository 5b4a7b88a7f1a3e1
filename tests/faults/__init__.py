"""Faults as functions: parts that die, freeze and come back, and what must hold then."""
