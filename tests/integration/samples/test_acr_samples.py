"""The shapes of published ACR task files run: record, output and registry say the same."""

from __future__ import annotations

import json

import pytest

from tests.integration.samples.command import SAMPLES, Tasks, config_of, digest_of, get

SECRETS = {
    "SAMPLE_SECRET": "correct horse $(id) `id` battery",
    "CI_MAPPED_SECRET": "kept-outside-of-azure",
    "TASKS_KEYVAULT_MAP": "samples.vault.azure.net=env:CI_{NAME}",
}


def test_every_sample_is_tested() -> None:
    folders = {path.name for path in SAMPLES.iterdir() if path.is_dir()}
    assert folders == {
        "build-test-push", "cache", "parallel-builds", "purge", "secrets", "services", "values",
        "workspace",
    }  # fmt: skip


def test_build_test_push(tasks: Tasks) -> None:
    done = tasks.sample("build-test-push", "--id", "btp1")
    assert set(done.statuses().values()) == {"Succeeded"}
    name = f"{tasks.registry}/samples/greeter"
    assert set(done.pushed()) == {f"{name}:btp1", f"{name}:tested"}
    for reference, digest in done.pushed().items():
        assert digest_of(reference) == digest
    assert "answer: Hello from the greeter" in done.lines("func-tests")
    assert f"would deploy --set image={name}:btp1" in done.lines("update")


def test_nothing_is_pushed_when_the_test_fails(tasks: Tasks) -> None:
    text = (SAMPLES / "build-test-push" / "acb.yaml").read_text()
    broken = text.replace("http://greeter:8080/", "http://greeter:8080/nothing")
    broken = broken.replace("samples/greeter", "samples/unpushed")
    assert broken.count("nothing") == 1
    file = tasks.folder / "broken.yaml"
    file.write_text(broken)
    done = tasks.run(str(SAMPLES / "build-test-push"), "-f", str(file), "--id", "btp2")
    assert done.code == 1
    statuses = done.statuses()
    assert (statuses["func-tests"], statuses["push"]) == ("Failed", "Skipped")
    assert done.record["outputImages"] == []
    with pytest.raises(KeyError):
        digest_of(f"{tasks.registry}/samples/unpushed:btp2")


def test_parallel_builds(tasks: Tasks) -> None:
    done = tasks.sample("parallel-builds", "--id", "par1")
    steps = {step["id"]: step for step in done.record["steps"]}
    builds = [steps[f"build-{part}"] for part in ("api", "worker", "checks")]
    # All have started before the first one ends.
    assert max(b["startTime"] for b in builds) < min(b["finishTime"] for b in builds)
    for part in ("api", "worker"):
        check, push = steps[f"check-{part}"], steps[f"push-{part}"]
        assert steps[f"build-{part}"]["finishTime"] <= check["startTime"]
        assert check["finishTime"] <= push["startTime"]
        reference = f"{tasks.registry}/samples/{part}:par1"
        assert digest_of(reference) == done.pushed()[reference]
        assert push["finishTime"] <= steps["done"]["startTime"]
    assert done.lines("done")[-1] == "I am the checks"
    assert done.lines("check-api")[-1] == "api is fine"


def test_services(tasks: Tasks) -> None:
    done = tasks.sample("services")
    assert set(done.statuses().values()) == {"Succeeded"}
    assert done.lines("client")[-1] == "in stock: 42 apples"


def test_values_file(tasks: Tasks) -> None:
    done = tasks.sample("values", "--values", "values.yaml")
    repository = f"{tasks.registry}/samples"
    assert set(done.pushed()) == {f"{repository}/apple:stable", f"{repository}/pear:stable"}
    assert done.lines("announce")[-1] == "a stable release"
    assert done.lines("report")[-1] == "2 products in stable by fruit"


def test_set_is_stronger_than_the_values_file(tasks: Tasks) -> None:
    done = tasks.sample("values", "--values", "values.yaml", "--set", "channel=beta")
    assert "announce" not in done.statuses()
    reference = f"{tasks.registry}/samples/apple:beta"
    assert config_of(reference)["config"]["Labels"]["channel"] == "beta"
    assert digest_of(reference) == done.pushed()[reference]


def test_secrets(tasks: Tasks) -> None:
    done = tasks.sample("secrets", "--id", "sec1", env=SECRETS)
    assert done.lines("files")[-1] == "***this one was never secret"
    sizes = [str(len(SECRETS["SAMPLE_SECRET"])), str(len(SECRETS["CI_MAPPED_SECRET"]))]
    assert done.lines("sizes")[-2:] == sizes
    assert done.lines("variable")[-1] == f"the variable has {sizes[0]} characters, ***"
    assert " and ".join(sizes) in done.lines("look")
    shown = done.output + done.stdout
    history = json.dumps(config_of(f"{tasks.registry}/samples/with-secret:sec1"))
    for name in ("SAMPLE_SECRET", "CI_MAPPED_SECRET"):
        assert SECRETS[name] not in shown
        assert SECRETS[name] not in history


def test_a_missing_secret_fails_the_run_before_any_step(tasks: Tasks) -> None:
    done = tasks.run(str(SAMPLES / "secrets"))
    assert done.code == 2
    assert done.record["status"] == "Failed"
    assert "2 secrets can't be had: sampleSecret, mapped" in done.output
    assert "SAMPLE_SECRET is not set" in done.output


def test_workspace(tasks: Tasks) -> None:
    done = tasks.sample("workspace")
    hello = ["a note from the source", "nobody wrote this"]
    assert done.lines("read")[-2:] == hello
    assert done.lines("elsewhere")[-5:] == ["/workspace", *hello, "acb.yaml", "notes"]
    assert done.lines("own")[-1] == "/"
    assert done.lines("count")[-1] == "3"
    flaky = next(step for step in done.record["steps"] if step["id"] == "flaky")
    assert (flaky["attempts"], flaky["errorIgnored"]) == (3, True)


def test_cache(tasks: Tasks) -> None:
    first = tasks.sample("cache", "--id", "cache1")
    # Its name is the original's: cache_<task>_<step> beside the image's tags (Y-075).
    tags, _ = get(tasks.registry, "samples/cached/tags/list")
    assert "cache_quickrun_build" in tags["tags"]
    second = tasks.sample("cache", "--id", "cache2")
    assert second.lines("show")[-1] == first.lines("show")[-1]


def test_a_timers_task_without_a_source(tasks: Tasks) -> None:
    tasks.sample("purge")
    done = tasks.run("/dev/null", "-f", str(SAMPLES / "purge" / "purge.yaml"))
    assert done.code == 0, done.output
    assert done.lines("purge")[-4:] == [
        "would delete samples/app:v1 (90 days)",
        "would delete samples/app:v2 (45 days)",
        "would delete samples/old:anything (31 days)",
        "would delete samples/app (untagged, 60 days)",
    ]


def test_a_timers_task_that_is_one_command(tasks: Tasks) -> None:
    tasks.sample("purge")
    command = "$Registry/samples/purge:1 purge --filter 'samples/app:latest' --ago 30"
    done = tasks.run("/dev/null", "--cmd", command)
    assert done.code == 0, done.output
    (step,) = done.record["steps"]
    assert done.lines(step["id"])[-1] == "would delete samples/app:latest (90 days)"
