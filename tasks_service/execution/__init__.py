"""One run, from what was asked for to its record: source → plan → runner → walk.

In: a Job and the Place it is executed at. Out: events while it runs and a
RunResult. ``tasks run`` and ``tasks build`` on a laptop and the workers of a
service share it; only the Place differs.
"""
