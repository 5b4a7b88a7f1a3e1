"""The service: decide which plan runs when, remember what happened, tell people.

Of ``runners`` it imports the model and the step kinds; only
``tasks_service.cli.execute`` may drive the engine itself.
"""

__version__ = "0.1.0"
