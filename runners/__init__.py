"""The engine: execute one plan in isolation.

This package is the lower layer. It defines what it can execute (plan, step
kinds, events) and never imports ``tasks_service``, which compiles to it.
"""
