"""The Git edge: a source location in, a directory at an exact commit out."""
