"""The processes of the service, and the only place where its objects are wired.

``up`` is all of it in one process; ``server``, ``scheduler`` and ``worker``
are the same parts in processes of their own. Called by the command line.
"""
