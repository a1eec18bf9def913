"""M01, M02: what a blueprint file may hold, and how a mistake in it is said."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from controller.blueprint.loader import parse_blueprint
from controller.blueprint.schema import PROVIDERS, TYPES, Blueprint, json_schema

OLD = b"""\
version: 1.0
name: web-app-production
description: text
constraints: {max_cost: 1000, region: us-east-1}
resources:
  - name: database-1
    type: database
    engine: postgresql
    version: 15
    specs:
      cpu: 8
      memory: 16GB
      storage: 500GB
    backup: {enabled: true, retention_days: 30}
  - name: web-server-1
    type: vm
    specs: {cpu: 4, memory: 8GB, disk: 100GB}
    network: {private_ip: 10.0.1.10, public_ip: true}
    dependencies: [database-1]
    metadata: {}
metadata: {environment: production, owner: devops-team, cost_center: engineering}
"""


def blueprint(text: str | bytes, file: str = "a.yaml") -> Blueprint:
    parsed = parse_blueprint(file, text if isinstance(text, bytes) else text.encode())
    assert parsed.problems == ()
    assert parsed.blueprint is not None
    return parsed.blueprint


def mistakes(text: str) -> list[str]:
    return [str(p) for p in parse_blueprint("a.yaml", text.encode()).problems]


def resource(text: str) -> str:
    return f"name: a\nresources:\n- name: b\n  type: vm\n{text}\n"


def test_the_documented_blueprint_is_read_as_it_is_written() -> None:
    read = blueprint(OLD)
    assert (read.name, read.version, read.constraints.max_cost) == ("web-app-production", "1.0", Decimal(1000))
    first, second = read.resources or ()
    assert (first.type, first.engine, first.version, first.specs["memory"]) == ("database", "postgresql", "15", "16GB")
    assert second.dependencies == ("database-1",)
    assert second.network == {"private_ip": "10.0.1.10", "public_ip": True}


def test_json_is_accepted_wherever_yaml_is() -> None:
    text = json.dumps({"name": "a", "resources": [{"name": "b", "type": "vm", "version": 1.10}]})
    assert (blueprint(text, "a.json").resources or ())[0].version == "1.1"


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_type_and_provider_of_both_vocabularies_is_known(kind: str, provider: str) -> None:
    read = blueprint(f"name: a\nprovider: {provider}\nresources: [{{name: b, type: {kind}, provider: {provider}}}]")
    assert read.provider == PROVIDERS[provider] == (read.resources or ())[0].provider


def test_empty_parts_mean_none_and_what_a_read_back_adds_is_ignored() -> None:
    read = blueprint(
        "id: 7\ncreated_at: 2024-01-01\nupdated_at: ~\nname: a\nmetadata:\nresources:\n- name: b\n  type: vm\n"
        "  specs:\n  network:\n  backup:\n  metadata:\n  dependencies:\n  waivers:\n  tolerate:\n  formerly:\n"
    )
    (only,) = read.resources or ()
    assert (only.specs, only.network, only.backup, only.metadata, only.dependencies) == ({}, {}, {}, {}, ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [("15", "15"), ("1.10", "1.10"), ("1e3", "1e3"), ("'15'", "15"), ("010", "010"), ("3.", "3."), ("12e4", "12e4")],
)
def test_a_version_is_the_text_that_is_written(written: str, expected: str) -> None:
    assert (blueprint(resource(f"  version: {written}")).resources or ())[0].version == expected
    assert (blueprint(resource(f"  adopt: {written}")).resources or ())[0].adopt == expected


def test_a_version_through_an_alias_is_text_too() -> None:
    read = blueprint("name: a\nmetadata: {v: &v 1.10}\nresources: [{name: b, type: vm, version: *v}]")
    assert (read.resources or ())[0].version == "1.10"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resources: []", "a.yaml:1:1: name: is required"),
        ("name: a", "a.yaml:1:1: resources is required"),
        ("name: a\nresources: {}", "a.yaml:2:1: resources: must be a list"),
        ("name: a\nresources: [x]", "a.yaml:2:13: resources.0: must be a map"),
        ("name: 1\nresources: []", "a.yaml:1:7: name: must be text; put it in quotes"),
        ("name: A\nresources: []", "a.yaml:1:7: name: A is no name"),
        ("name: a\nresurces: []", "a.yaml:2:1: resurces: unknown key; did you mean resources?"),
        ("name: a\nzz: 1\nresources: []", "a.yaml:2:1: zz: unknown key; known here: constraints, created_at"),
        ("name: a\nversion: 2\nresources: []", 'a.yaml:2:10: version: only blueprint version "1.0" is known'),
        ("name: a\nparameters: {x: 1}\nresources: []", "parameters belong to a template"),
        ("name: a\nprovider: dokcer\nresources: []", "a.yaml:2:11: provider: dokcer is no provider"),
        ("name: a\nconstraints: {max_cost: lots}\nresources: []", "constraints.max_cost: lots is no sum of money"),
        (resource("  specs: 5"), "a.yaml:5:10: resources.0.specs: must be a map"),
        (resource("  depends: [x]"), "resources.0.depends: unknown key; did you mean dependencies?"),
        (resource("  engine: docker"), "resources.0.engine: engine is the product (postgresql, nginx); use provider"),
        (resource("  engine: k8s"), "use provider: k8s"),
        (resource("  wave: -1"), "a.yaml:5:9: resources.0.wave: "),
        (resource("  wave: '1'"), "resources.0.wave: must be a whole number"),
        (
            resource("  lifecycle: {protekt: true}"),
            "5:15: resources.0.lifecycle.protekt: unknown key; did you mean protect?",
        ),
        (resource("  lifecycle: {protect: yes}"), "a.yaml:5:24: resources.0.lifecycle.protect: must be true or false"),
        (resource("  lifecycle: {on_delete: keep}"), "resources.0.lifecycle.on_delete: must be 'destroy' or 'retain'"),
        (resource("  lifecycle: {max_disruption: some}"), "must be 'none', 'in-place', 'restart'"),
        (resource("  health: {http: {port: 0}}"), "resources.0.health.http.port: "),
        (resource("  health: {http: {}, tcp: 5}"), "resources.0.health: health takes one of http, tcp, exec, running"),
        (resource("  health: {timeout: 30}"), "resources.0.health.timeout: 30 is no duration; write it with units"),
        (resource("  waivers: [{rule: X1, reason: why, by: me}]"), "resources.0.waivers.0.until: is required"),
        (resource("  waivers: [{rule: X1, reason: why, by: me, until: 2024-02-30}]"), "resources.0.waivers.0.until: "),
        (resource("  waivers: [{rule: X1, reason: why, by: me, until: soon}]"), "must be a date such as 2026-12-31"),
        (resource("  dependencies: db"), "resources.0.dependencies: must be a list"),
        (resource("  dependencies: [1]"), "resources.0.dependencies.0: must be text; put it in quotes"),
        (resource("  type2: x"), "a.yaml:5:3: resources.0.type2: unknown key; did you mean type?"),
        ("name: a\nresources: [{name: b, type: vmm}]", "a.yaml:2:29: resources.0.type: vmm is no type"),
        ("name: a\nresources: [{name: b}]", "a.yaml:2:13: resources.0.type: is required"),
        ('name: a\nresources: [{name: b, type: vm, "x\\u00e9\\u3164": 1}]', "resources.0.x"),
    ],
)
def test_a_mistake_names_file_line_column_path_and_what_to_write(text: str, expected: str) -> None:
    found = mistakes(text)
    assert len(found) == 1, found
    assert expected in found[0]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    found = mistakes("name: A\nx: 1\nresources:\n- {name: b, type: vm, wave: x}\n- {name: c, tipe: vm}\n")
    assert [f.split(" ")[0][7:] for f in found] == ["1:7:", "2:1:", "4:29:", "5:3:", "5:13:"]


def test_a_flood_of_mistakes_is_cut() -> None:
    text = "name: a\nresources: []\n" + "".join(f"k{i}: 1\n" for i in range(5000))
    assert len(mistakes(text)) == 100


def test_a_resource_may_be_named_once_in_its_file() -> None:
    found = mistakes("name: a\nresources:\n- {name: b, type: vm}\n- {name: b, type: lxc}\n")
    assert found == ["a.yaml:4:10: resources.1.name: resource b is already written in line 3; rename one"]


def test_a_file_with_a_hidden_name_is_refused_and_its_name_shown_escaped() -> None:
    (problem,) = parse_blueprint("a\u202elmay.yaml", b"name: a\nresources: []\n").problems
    assert str(problem) == "a\\u{202e}lmay.yaml:1:1: the name of this file holds hidden characters; rename it"


def test_the_json_schema_names_every_key_and_forbids_others() -> None:
    schema: dict[str, Any] = json_schema()
    json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name"}
    spec = schema["$defs"]["ResourceSpec"]
    assert set(spec["required"]) == {"name", "type"}
    assert spec["additionalProperties"] is False
    assert spec["properties"]["type"]["enum"] == list(TYPES)
    assert {"specs", "health", "lifecycle", "wave", "target", "formerly", "waivers", "tolerate", "adopt"} <= set(
        spec["properties"]
    )
