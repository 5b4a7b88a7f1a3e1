"""Run a container to its end and read what it wrote."""

from __future__ import annotations

from runners.clients.docker_sdk import connect, translated, unix_dialer
from runners.model.errors import StepFailed
from tasks_service.devstack.engines import Engine


def output_of(engine: Engine, image: str, words: list[str]) -> str:
    """Run ``image`` with ``words`` and return all it wrote.

    Its container is removed whatever happens.

    Raises:
        StepFailed: it exited badly; its output is the detail.
        Unavailable: the engine does not answer.
    """
    client = connect(unix_dialer(engine.address.removeprefix("unix://")))
    try:
        with translated(f"running {image}"):
            made = client.create_container(image, command=words)["Id"]
            try:
                client.start(made)
                code = int(client.wait(made)["StatusCode"])
                output = client.logs(made).decode(errors="replace")
            finally:
                client.remove_container(made, force=True, v=True)
    finally:
        client.close()
    if code != 0:
        raise StepFailed(
            f"{image} {' '.join(words)} exited with {code}", exit_code=code, detail=output
        )
    return output
