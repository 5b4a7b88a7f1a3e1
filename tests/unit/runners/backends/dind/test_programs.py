"""What programs of the system get of our environment."""

from __future__ import annotations

from runners.backends.dind.programs import environment


def test_programs_get_where_things_are_and_no_setting_of_ours() -> None:
    given = {
        "PATH": "/usr/sbin", "LC_ALL": "C", "https_proxy": "http://proxy:3128", "HOME": "/root",
        "TASKSD_DATABASE_URL": "postgresql://u:canary@db/x", "TASKS_TOKEN": "canary",
        "AWS_SECRET_ACCESS_KEY": "canary",
    }  # fmt: skip
    assert environment(given) == {
        "PATH": "/usr/sbin", "LC_ALL": "C", "https_proxy": "http://proxy:3128", "HOME": "/root",
    }  # fmt: skip
