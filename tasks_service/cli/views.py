"""Which view shows a run, here or on a server, and where it writes."""

from __future__ import annotations

import os
import sys

from tasks_service.cli.options import RunOptions
from tasks_service.cli.output import JSONView, PlainView, QuietView, Streams, View
from tasks_service.cli.terminal import is_terminal


def streams_of(options: RunOptions) -> Streams:
    """Return where a run's output goes: with ``-o``, standard output is the record's alone."""
    out = sys.stderr if options.output else sys.stdout
    return Streams(out, sys.stderr, options.colour)


def choose_view(options: RunOptions, streams: Streams) -> View:
    """Return the view that the options and the terminal ask for."""
    progress = options.progress
    if options.is_quiet:
        return QuietView(streams)
    if progress == "json":
        return JSONView(streams)
    both = is_terminal(streams.out) and is_terminal(streams.err)
    if progress == "tty" or (progress == "auto" and both and os.environ.get("TERM") != "dumb"):
        from tasks_service.cli.live import LiveView

        return LiveView(streams, logs=options.logs)
    return PlainView(streams, logs=options.logs)
