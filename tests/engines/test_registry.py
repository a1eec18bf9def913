"""Engines are found by name, and only the one asked for is imported."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from controller.errors import InvalidInput
from engines import registry
from engines.simulation import SimulationEngine


def test_the_installed_engines_are_named_and_sorted() -> None:
    names = registry.engine_names()
    assert list(names) == sorted(names)
    assert {"docker", "simulation"} <= set(names)


@pytest.mark.parametrize("name", ["simulation", "fake"])
def test_an_engine_is_found_by_its_name_and_its_alias(name: str) -> None:
    assert registry.load_engine(name) is SimulationEngine


def test_aliases_lead_to_the_name_the_product_uses() -> None:
    assert [registry.canonical(n) for n in ("fake", "k8s", "docker")] == ["simulation", "kubernetes", "docker"]


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        registry.load_engine("simulatoin")
    assert str(caught.value) == "there is no engine simulatoin; did you mean simulation?"
    assert "docker" in caught.value.hint
    assert "simulation" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a_library_nobody_has:Engine", "engine broken cannot be used: a_library_nobody_has is missing"),
        ("engines.registry:NoSuchEngine", "engine broken is registered as engines.registry:NoSuchEngine"),
    ],
)
def test_an_engine_that_cannot_be_imported_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, value: str, text: str
) -> None:
    broken = EntryPoint("broken", value, registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    with pytest.raises(InvalidInput) as caught:
        registry.load_engine("broken")
    assert text in str(caught.value)


def test_loading_one_engine_imports_no_other_and_no_library_of_another() -> None:
    code = (
        "import sys; from engines.registry import engine_names, load_engine; engine_names();"
        "early = [m for m in sys.modules if m.startswith(('engines.docker', 'engines.simulation'))];"
        "load_engine('simulation');"
        "late = [m for m in sys.modules if m.split('.')[0] in ('docker', 'kubernetes', 'httpx2')"
        " or m.startswith(('engines.docker', 'engines.kubernetes', 'engines.proxmox'))];"
        "print(early, late)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
