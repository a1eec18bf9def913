"""References → values, within what the server allows."""

from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path

import pytest

from controller.errors import InvalidInput, RefusedByPolicy
from controller.secret_store import Secrets, SecretStore, allows

ENV = {"APP_TOKEN": "value-of-app-token", "ALMA_KEY": "value-of-alma-key", "FORGE_TOKEN": "value-of-forge"}
STORE = SecretStore(ENV, reserved=["env:FORGE_TOKEN"])


def test_an_allowed_variable_is_resolved() -> None:
    secrets = STORE.resolve(["env:APP_TOKEN", "env:APP_TOKEN"], ["env:APP_*"])
    assert dict(secrets) == {"env:APP_TOKEN": "value-of-app-token"}
    assert STORE.check("env:APP_TOKEN", ["env:APP_*"]) is None


@pytest.mark.parametrize(
    ("ref", "allow", "word"),
    [
        ("env:APP_TOKEN", [], "not among what this repository may use"),
        ("env:APP_TOKEN", ["env:OTHER_*"], "not among"),
        ("env:ALMA_KEY", ["env:*", "env:**"], "belongs to the server"),
        ("env:alma_key", ["env:**"], "belongs to the server"),
        ("env:FORGE_TOKEN", ["env:**"], "server's own configuration"),
        ("file:/proc/self/environ", ["file:/**"], "files of the kernel"),
        ("file:/dev/stdin", ["file:/**"], "files of the kernel"),
    ],
)
def test_what_is_not_allowed_is_refused_by_policy(ref: str, allow: list[str], word: str) -> None:
    reason = STORE.check(ref, allow)
    assert reason is not None
    assert word in reason
    with pytest.raises(RefusedByPolicy, match=word):
        STORE.resolve([ref], allow)


@pytest.mark.parametrize("ref", ["vault:kv/x", "APP_TOKEN", "", "ENV:APP_TOKEN", "hunter2-a-pasted-value"])
def test_an_unknown_scheme_lists_the_known_and_does_not_repeat_the_text(ref: str) -> None:
    reason = STORE.check(ref, ["**"])
    assert reason is not None
    assert "env: (" in reason
    assert "file: (" in reason
    assert not ref or ref not in reason


@pytest.mark.parametrize(
    "ref",
    ["env:", "env:A B", "env:A=B", "env:A\n", "file:", "file:rel", "file:/a/../b", "file:/a//b", "file:/a/./x",
     "file:/a/", "file:/a\0b", "file:/a\nb", "file:/", "file:~/x"],
)  # fmt: skip
def test_a_reference_of_no_form_is_bad_input(ref: str) -> None:
    with pytest.raises(InvalidInput, match="secret reference"):
        STORE.resolve([ref], ["**", "env:**", "file:**"])


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as told:
        STORE.resolve(["env:APP_A", "env:APP_TOKEN", "env:APP_B"], ["env:APP_*"])
    assert [p.message for p in told.value.problems] == ["secret env:APP_A is not set", "secret env:APP_B is not set"]


@pytest.mark.parametrize(
    ("pattern", "ref", "covered"),
    [
        ("env:APP_*", "env:APP_", True),
        ("env:APP_*", "env:APP_X", True),
        ("env:APP_*", "env:XAPP_X", False),
        ("file:/s/*", "file:/s/a", True),
        ("file:/s/*", "file:/s/a/b", False),
        ("file:/s/**", "file:/s/a/b", True),
        ("file:/s/**", "file:/s", False),
        ("file:/s/**", "file:/sx/a", False),
        ("file:/s/*/key", "file:/s/a/key", True),
        ("file:/s/*/key", "file:/s/a/b/key", False),
        ("file:/s/a.b", "file:/s/aXb", False),
        ("file:/s/[ab]", "file:/s/a", False),
        ("file:/s/?", "file:/s/a", False),
        ("env:**", "file:/s/a", False),
    ],
)
def test_a_pattern_covers(pattern: str, ref: str, covered: bool) -> None:
    assert allows(pattern, ref) is covered


def allowed(folder: Path) -> list[str]:
    return [f"file:{folder}/**"]


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"x", "x"), (b"x\n", "x"), (b"x\r\n", "x"), (b"x\n\n", "x\n"), (b"", ""), (b" \xc3\xbc ", " ü ")],
)
def test_a_file_gives_its_text_without_one_line_end(tmp_path: Path, data: bytes, value: str) -> None:
    (tmp_path / "s").write_bytes(data)
    ref = f"file:{tmp_path}/s"
    assert STORE.resolve([ref], allowed(tmp_path))[ref] == value


def test_links_within_what_is_allowed_are_followed(tmp_path: Path) -> None:
    """Mounted Kubernetes secrets are links to links."""
    (tmp_path / "..data1").mkdir()
    (tmp_path / "..data1/db").write_text("v")
    (tmp_path / "..data").symlink_to("..data1")
    (tmp_path / "db").symlink_to("..data/db")
    ref = f"file:{tmp_path}/db"
    assert STORE.resolve([ref], allowed(tmp_path))[ref] == "v"


def test_links_out_of_what_is_allowed_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "s").write_text("outside-value")
    (inside / "file").symlink_to(outside / "s")
    (inside / "dir").symlink_to(outside)
    (inside / "loop").symlink_to(inside / "loop")
    (inside / "proc").symlink_to("/proc/self/environ")
    for name in ("file", "dir/s", "proc"):
        with pytest.raises(RefusedByPolicy, match="leads to a place that is not allowed"):
            STORE.resolve([f"file:{inside}/{name}"], allowed(inside))
    with pytest.raises(InvalidInput):
        STORE.resolve([f"file:{inside}/loop"], allowed(inside))


def test_a_link_to_a_file_of_the_server_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("server-key")
    (tmp_path / "alias").symlink_to(tmp_path / "key")
    store = SecretStore({}, reserved=[f"file:{tmp_path}/key"])
    for name in ("key", "alias"):
        with pytest.raises(RefusedByPolicy):
            store.resolve([f"file:{tmp_path}/{name}"], allowed(tmp_path))


def test_only_regular_text_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (1024 * 1024 + 1))
    (tmp_path / "full").write_bytes(b"x" * (1024 * 1024))
    (tmp_path / "bytes").write_bytes(b"canary\xff")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, word in [
        ("big", "larger"),
        ("bytes", "UTF-8"),
        ("dir", "regular"),
        ("pipe", "regular"),
        ("no", "No such"),
    ]:
        with pytest.raises(InvalidInput, match=word) as told:
            STORE.resolve([f"file:{tmp_path}/{name}"], allowed(tmp_path))
        assert "canary" not in repr(told.value) + repr(told.value.__context__ and told.value.__context__.__context__)
    assert len(STORE.resolve([f"file:{tmp_path}/full"], allowed(tmp_path))[f"file:{tmp_path}/full"]) == 1024 * 1024


def test_values_show_nowhere() -> None:
    """I26."""
    secrets = STORE.resolve(["env:APP_TOKEN"], ["env:APP_*"])
    shown = [repr(secrets), str(secrets), f"{secrets}", repr(STORE), repr([secrets]), repr({"a": secrets})]
    assert not [s for s in shown if "value-of" in s]
    for leak in (lambda: pickle.dumps(secrets), lambda: copy.copy(secrets), lambda: json.dumps(secrets)):
        with pytest.raises(TypeError) as told:
            leak()
        assert "value-of" not in str(told.value)
    assert isinstance(secrets, Secrets)
