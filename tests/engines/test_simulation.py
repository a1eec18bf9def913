"""The simulation engine keeps the contract of all engines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from controller.blueprint.value import Output, Secret
from tests.engines.conformance import SECRET_REF, Case, EngineConformance, entry
from tests.engines.simulated import SimulatedPlatform

WEB = {"image": "web:1", "memory": "1GB", "ports": ["8080:80"], "env": {"MODE": "live"}}
VM = {"image": "debian-13", "cpu": 2, "memory": "2GB", "storage": "20GB"}


def case(label: str, type_: str, before: Mapping[str, object], after: Mapping[str, object], **more: str) -> Case:
    return Case(label, (entry("it", type_, specs=before),), (entry("it", type_, specs=after),), **more)


class TestSimulationConformance(EngineConformance):
    """One case per shape of change that the simulated platform has."""

    row = "B1 simulation contract"
    cases: ClassVar[list[Case]] = [
        case("in place", "container", WEB, {**WEB, "memory": "2GB"}, tampered="memory"),
        case("restart", "container", WEB, {**WEB, "image": "web:2"}, tampered="image"),
        case("start first", "service", {"image": "a:1"}, {"image": "a:2"}, tampered="image"),
        case("dropped field", "container", WEB, {**WEB, "env": {}}, dropped="env.MODE"),
        case("dropped in place", "container", {**WEB, "replicas": 3}, WEB, dropped="replicas", tampered="replicas"),
        case("reboot", "vm", VM, {**VM, "memory": "4GB"}, tampered="memory"),
        case("vm in place", "vm", VM, {**VM, "cpu": 4, "storage": "30GB"}, tampered="cpu"),
        case("vm data loss", "vm", VM, {**VM, "storage": "10GB"}, tampered="storage"),
        case("volume shrinks", "volume", {"size": "20GB"}, {"size": "10GB"}, tampered="storage"),
        case("network moves", "network", {"cidr": "10.1.0.0/24"}, {"cidr": "10.2.0.0/24"}, tampered="cidr"),
        case("manifest in place", "manifest", {"kind": "Map", "data": {"a": "1"}}, {"kind": "Map", "data": {"a": "2"}}),
        case("manifest again", "manifest", {"kind": "Map"}, {"kind": "Set"}, tampered="kind"),
        case(
            "tasks",
            "container",
            {**WEB, "simulate": {"task_polls": 3}},
            {"image": "web:2", "simulate": {"task_polls": 2}},
        ),
        Case(
            "two at once",
            (entry("db", "database", product="postgresql", specs={"storage": "1GB"}), entry("net", "network")),
            (entry("db", "database", product="postgresql", version="16", specs={"storage": "1GB"}),),
        ),
    ]
    secret = (entry("api", "container", specs={"image": "api:1", "env": {"KEY": Secret(SECRET_REF)}}),)
    linked = (
        entry("db", "database", specs={"image": "db:1", "ports": [5432]}),
        entry("web", "container", specs={"image": "w:1", "env": {"DB": Output("prod/shop/db", "address")}}),
    )
    alone = entry("web", "container", specs={"image": "web:1", "memory": "1GB"})
    renamed = replace(alone, name="front", formerly=("prod/shop/web",))

    @pytest.fixture
    def harness(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedPlatform:
        monkeypatch.setattr(os, "fsync", lambda fd: None)  # no test here cuts the power
        return SimulatedPlatform(tmp_path)
