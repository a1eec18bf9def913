"""Untrusted files are read in a worker that they cannot leave, exhaust or take along."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from controller.blueprint.limits import DEFAULT_LIMITS
from controller.runtime import parse_worker
from controller.runtime.parse_worker import ParseWorker

GOOD = b"name: shop\nresources:\n  - {name: web, type: container, provider: simulation}\n"


@pytest.fixture
def worker() -> Iterator[ParseWorker]:
    one = ParseWorker(cpu_s=1, memory_bytes=256 * 1024 * 1024)
    yield one
    one.close()


async def test_a_good_file_comes_back_parsed(worker: ParseWorker) -> None:
    parsed = await worker.parse({"a.yaml": GOOD}, DEFAULT_LIMITS)
    assert parsed["a.yaml"].blueprint is not None


async def test_a_wrong_file_comes_back_with_its_place(worker: ParseWorker) -> None:
    parsed = await worker.parse({"a.yaml": b"name: [\n"}, DEFAULT_LIMITS)
    assert parsed["a.yaml"].problems[0].place is not None


async def test_a_worker_that_dies_is_one_problem_and_the_next_file_is_read(
    worker: ParseWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse_worker, "_bounded", _dies)
    dead = await worker.parse({"bomb.yaml": GOOD}, DEFAULT_LIMITS)
    assert "to read" in dead["bomb.yaml"].problems[0].message
    monkeypatch.undo()
    alive = await worker.parse({"a.yaml": GOOD}, DEFAULT_LIMITS)
    assert alive["a.yaml"].blueprint is not None


async def test_a_worker_that_computes_for_ever_is_ended_by_the_kernel(
    worker: ParseWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse_worker, "_bounded", _spins)
    ended = await worker.parse({"bomb.yaml": GOOD}, DEFAULT_LIMITS)
    assert "to read" in ended["bomb.yaml"].problems[0].message


async def test_the_worker_knows_no_environment(worker: ParseWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_TOKEN", "canary")
    monkeypatch.setattr(parse_worker, "_bounded", _environment)
    parsed = await worker.parse({"a.yaml": GOOD}, DEFAULT_LIMITS)
    assert parsed["a.yaml"].file == "0"


def _dies(name: str, *_: object) -> None:
    os._exit(9)


def _spins(read: object, name: str, data: bytes, limits: object, cpu_s: int) -> None:
    import resource  # noqa: PLC0415 - runs in the worker

    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    while True:
        pass


def _environment(name: str, *_: object) -> object:
    from controller.blueprint.loader import ParsedBlueprint  # noqa: PLC0415 - runs in the worker

    return ParsedBlueprint(str(len(os.environ)), None, None)
