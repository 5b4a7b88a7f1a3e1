"""The parts a machine needs for the demo and the tests: engine, registry, Git server."""
