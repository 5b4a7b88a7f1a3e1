"""Cascades: what must be rebuilt when an image moves, in which order. Pure: no store, no clock.

``graph`` knows who stands on whom, ``plan`` makes the order of a wave, and
``step`` says what to do next in one. Called by the scheduler and the API.
"""
