"""A value is written where it belongs, and nothing else moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.editing import Setting, edited
from controller.blueprint.loader import load_scope
from controller.blueprint.repository import ScopeConfig, blueprint_files, load_repository
from controller.blueprint.value import Value

SCOPE = ScopeConfig("prod", ".")
EXAMPLES = Path(__file__).parents[3] / "examples"
BLOCK = """\
name: shop   # ours
resources:
  - name: web
    type: container
    specs:
      image: "web:1"   # pinned
      memory: 1GB
      ports: ["8080:80", '9090:90']
  - {name: db, type: database, specs: {}, backup: {enabled: false}}
"""
JSON = '{"name": "shop", "resources": [{"name": "web", "type": "container", "specs": {"image": "web:1"}}]}'


def set_(text: str, resource: str, path: str, value: Value, file: str = "a.yaml") -> str:
    files = {file: text.encode()}
    entry = next(e for e in load_scope(files, SCOPE).entries if e.name == resource)
    changed, left = edited(files, [Setting(entry, path, value)], SCOPE)
    return "(left)" if left else changed[file].decode()


@pytest.mark.parametrize(
    ("resource", "path", "value", "before", "after"),
    [
        ("web", "specs.memory", "512MB", "memory: 1GB", "memory: 512MB"),
        ("web", "specs.ports.1", "127.0.0.1:9090:90", "'9090:90'", '"127.0.0.1:9090:90"'),
        (
            "web",
            "specs.restart",
            "unless-stopped",
            '      image: "web:1"',
            '      restart: unless-stopped\n      image: "web:1"',
        ),
        ("web", "lifecycle.protect", True, "  - name: web\n", "  - name: web\n    lifecycle: {protect: true}\n"),
        ("db", "specs.cpu", 2, "specs: {}", "specs: {cpu: 2}"),
        ("db", "backup.enabled", True, "enabled: false", "enabled: true"),
        ("db", "backup.retention_days", 30, "{enabled", "{retention_days: 30, enabled"),
        ("db", "lifecycle.on_delete", "retain", "{name: db", "{name: db, lifecycle: {on_delete: retain}"),
    ],
)
def test_a_value_is_written_where_it_belongs(resource: str, path: str, value: Value, before: str, after: str) -> None:
    assert BLOCK.count(before) == 1
    assert set_(BLOCK, resource, path, value) == BLOCK.replace(before, after)


def test_json_stays_json() -> None:
    assert '"specs": {"restart": "always", "image"' in set_(JSON, "web", "specs.restart", "always", "a.json")


def test_several_settings_of_one_map_become_that_map() -> None:
    files = {"a.yaml": BLOCK.encode()}
    web = next(e for e in load_scope(files, SCOPE).entries if e.name == "web")
    paths = {"lifecycle.protect": True, "lifecycle.on_delete": "retain", "specs.cpu": 1}
    changed, left = edited(files, [Setting(web, p, v) for p, v in paths.items()], SCOPE)
    assert not left and "    lifecycle: {protect: true, on_delete: retain}\n" in changed["a.yaml"].decode()


def test_what_a_template_made_is_left_alone() -> None:
    text = "name: shop\ntemplate: simple-web-app\n"
    name = load_scope({"a.yaml": text.encode()}, SCOPE).entries[0].name
    assert set_(text, name, "specs.memory", "1GB") == "(left)"


@given(st.sampled_from(["specs.image", "specs.env.x", "metadata.note"]), st.text(max_size=30))
def test_any_text_written_is_read_back_as_it_is(path: str, text: str) -> None:
    value = "".join(c for c in text if c.isprintable() and c != "$") or "x"
    after = set_(BLOCK, "web", path, value)
    web = next(e for e in load_scope({"a.yaml": after.encode()}, SCOPE).entries if e.name == "web")
    known: dict[str, Value] = {"specs": web.specs, "metadata": web.metadata}
    found: Value = known
    for part in path.split("."):
        assert isinstance(found, Mapping)
        found = found[part]
    assert found == value


@pytest.mark.parametrize("example", sorted(f.parent for f in EXAMPLES.glob("*/alma.yaml")), ids=lambda f: f.name)
def test_every_resource_of_the_examples_can_be_edited_or_is_left_whole(
    example: Path, report_n: Callable[..., None]
) -> None:
    for scope in load_repository((example / "alma.yaml").read_bytes()).scopes:
        paths = [str(f.relative_to(example)) for f in example.rglob("*.yaml")]
        files = {f: (example / f).read_bytes() for f in blueprint_files(paths, scope)}
        for entry in load_scope(files, scope).entries:
            changed, left = edited(files, [Setting(entry, "lifecycle.protect", True)], scope)
            after = {e.id: e for e in load_scope({**files, **changed}, scope).entries}[entry.id]
            assert after.lifecycle.protect or left
            if changed:
                [(file, text)] = changed.items()
                added = len(text.splitlines()) - len(files[file].splitlines())
                assert added in (0, 1), "one line at the most"
            report_n("edited in place", 1)
