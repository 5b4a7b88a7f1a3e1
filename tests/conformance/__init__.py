"""Inputs with what the original engine did with them, run through our compiler.

``python -m tests.conformance`` runs a file of such cases (kept outside the
repository) and counts outcomes; the tests here run a corpus of our own.
"""
