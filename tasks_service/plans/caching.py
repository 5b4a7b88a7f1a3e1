"""``cache: enabled``: where a build step keeps its cache, as options of its text.

In: the text of a step, its id, the run's registry and task name. Out: the
options to put before the text, or why there are none (Y-075). Called by
compile.py.
"""

from __future__ import annotations

import re

from tasks_service.plans.words import option_values, words_of

DEFAULT_TASK = "quickrun"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def cache_options(text: str, *, step_id: str, registry: str, task_name: str) -> tuple[str, str]:
    """Return ``(options, problem)``; exactly one of them is not empty.

    The cache lies beside the first tag: in its registry if it names one, else
    in the run's, under a tag made of the task's and the step's name.
    """
    tags = option_values(words_of(text), ("-t", "--tag", "--image"))
    if not tags:
        return "", "the build names no tag, so there is no place for its cache"
    path = tags[0].partition("@")[0]
    head, slash, last = path.rpartition("/")
    repository = head + slash + last.partition(":")[0]
    if not slash:
        if not registry:
            return "", "the first tag names no registry and the run has none"
        repository = f"{registry}/{repository}"
    tag = f"cache_{task_name or DEFAULT_TASK}_{step_id}"
    if not _TAG.fullmatch(tag):
        return "", f"'{tag[:80]}' can't be a tag"
    reference = f"type=registry,ref={repository}:{tag}"
    # A cache that can't be stored is no reason to fail a build that worked.
    return f"--cache-to={reference},mode=max,ignore-error=true --cache-from={reference}", ""
