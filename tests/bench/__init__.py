"""The benchmark: ours against its peers, as ratios measured in one run.

``make bench`` starts the engine and calls ``python -m tests.bench``. A row is
measured by alternation (ours, peer, ours, peer, …), so that a machine whose
speed drifts moves both sides; the medians and their ratio are what is kept.
Nothing here fails because something was slow: it prints and records.
"""
