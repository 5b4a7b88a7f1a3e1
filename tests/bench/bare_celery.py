"""The peer of no-op runs: jobs that do nothing, drained by Celery alone.

In: a Redis URL. Out: seconds from its first job to its last. The worker is
Celery's own with its defaults, two processes of its pool; the first and the
last job tell when they ran.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from celery import Celery
from redis import Redis

from tests.bench.place import ROOT, BenchError

_URL = "TASKS_BENCH_CELERY_REDIS"
_QUEUE = "bench-bare-celery"
_WAIT_S = 120.0

app = Celery("bare", broker=os.environ.get(_URL, "memory://"), set_as_current=False)
app.conf.update(task_ignore_result=True, task_default_queue=_QUEUE)


@app.task(name="bare.noop")
def noop(body: dict[str, object]) -> None:
    """Do nothing."""


@app.task(name="bare.mark")
def mark(name: str) -> None:
    """Write down when this job ran."""
    Redis.from_url(os.environ[_URL]).set(f"{_QUEUE}:{name}", repr(time.time()))


def drain(redis_url: str, count: int) -> float:
    """Fill the queue with ``count`` jobs, then start a worker; return its seconds.

    Raises:
        BenchError: It did not get through.
    """
    store = Redis.from_url(redis_url)
    store.delete(_QUEUE, f"{_QUEUE}:first", f"{_QUEUE}:last")
    filling = Celery("filling", broker=redis_url, set_as_current=False)
    with filling.producer_pool.acquire() as producer:
        filling.send_task("bare.mark", ["first"], queue=_QUEUE, producer=producer)
        for _ in range(count):
            filling.send_task("bare.noop", [{"v": 1}], queue=_QUEUE, producer=producer)
        filling.send_task("bare.mark", ["last"], queue=_QUEUE, producer=producer)
    words = [sys.executable, "-m", "celery", "-A", "tests.bench.bare_celery", "worker"]
    words += ["--concurrency", "2", "--loglevel", "ERROR", "--without-mingle", "--without-gossip"]
    worker = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, _URL: redis_url, "C_FORCE_ROOT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _WAIT_S
        while (last := store.get(f"{_QUEUE}:last")) is None:
            if time.monotonic() > deadline or worker.poll() is not None:
                raise BenchError("bare Celery did not drain its queue")
            time.sleep(0.02)
        return float(last) - float(store.get(f"{_QUEUE}:first"))
    finally:
        worker.terminate()
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait(10)
        store.delete(_QUEUE, f"{_QUEUE}:first", f"{_QUEUE}:last")
        filling.close()
        store.close()
