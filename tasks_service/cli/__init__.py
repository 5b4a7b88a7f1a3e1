"""The ``tasks`` command: one module per noun, everything heavy imported late."""
