"""What is printed: shapes of JSON, stable lines, colours only for terminals, and nothing a terminal would obey."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.controller.cli.conftest import SHOP, Alma

ESCAPE = "\x1b"


def test_the_last_line_of_a_plan_is_stable(alma: Alma, shop: Path) -> None:
    said = alma("plan", shop)
    assert re.fullmatch(
        r"Plan: 1 to create, 0 to update, 0 to recreate, 0 to destroy\. Disruption: none\. Digest: [0-9a-f]{12}",
        said.last,
    )
    assert said.err == ""
    assert ESCAPE not in said.out


def test_json_is_one_document_of_a_named_format(alma: Alma, shop: Path) -> None:
    alma("deploy", shop, "--yes")
    run = json.loads(alma("history", "-o", "json").out)["runs"][0]["run"]
    formats = {
        ("plan", shop): "alma.plan/v1",
        ("validate", shop): "alma.validate/v1",
        ("status",): "alma.status/v1",
        ("drift",): "alma.drift/v1",
        ("history",): "alma.history/v1",
        ("events",): "alma.events/v1",
        ("logs", run): "alma.log/v1",
        ("config", "show"): "alma.config/v1",
        ("engines", "list"): "alma.engines/v1",
        ("metrics", "list"): "alma.metrics/v1",
    }
    for words, name in formats.items():
        said = alma(*words, "-o", "json")
        assert (said.code, said.err) == (0, ""), words
        assert json.loads(said.out)["format"] == name


def test_a_plan_as_json_has_every_field_that_is_promised(alma: Alma, shop: Path) -> None:
    told = json.loads(alma("plan", shop, "-o", "json").out)
    assert {"format", "scope", "revision", "digest", "changes", "summary"} <= set(told)
    (change,) = told["changes"]
    promised = ["resource", "kind", "target", "action", "disruption", "wave", "object", "fields", "reason", "lost"]
    assert list(change) == promised
    assert all(set(f) == {"path", "before", "after", "sensitive"} for f in change["fields"])
    assert told["summary"]["create"] == 1


def test_detailed_exitcode_is_2_for_changes(alma: Alma, shop: Path) -> None:
    assert alma("plan", shop, "--detailed-exitcode").code == 2
    alma("deploy", shop, "--yes")
    assert alma("plan", shop, "--detailed-exitcode").code == 0
    assert alma("drift", "--detailed-exitcode").code == 0


# --- a terminal ---


def on_a_terminal(
    *args: object, answer: tuple[str, str] = ("", ""), env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and all that was printed; `answer` is (what to wait for, what to type then)."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "controller.cli.main", *map(str, args)],
        # It is its controlling terminal, so that Ctrl-C is one.
        preexec_fn=lambda: os.login_tty(slave),
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **(env or {})},
    )
    os.close(slave)
    said, typed, ends_s = "", False, time.monotonic() + 60
    while time.monotonic() < ends_s:
        ready, _, _ = select.select([master], [], [], 1.0)
        try:
            chunk = os.read(master, 65536).decode("utf-8", "replace") if ready else ""
        except OSError:  # the other side was closed
            break
        said += chunk
        if answer[0] and not typed and answer[0] in said:
            os.write(master, answer[1].encode())
            typed = True
    os.close(master)
    return process.wait(timeout=30), said


def test_a_terminal_gets_colours_and_no_color_takes_them_away(shop: Path) -> None:
    code, said = on_a_terminal("plan", shop)
    assert code == 0
    assert f"{ESCAPE}[" in said
    code, said = on_a_terminal("plan", shop, env={"NO_COLOR": "1"})
    assert code == 0
    assert ESCAPE not in said


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("\x03", 130)])
def test_a_person_is_asked_before_anything_is_done(shop: Path, typed: str, code: int) -> None:
    ended, said = on_a_terminal("deploy", shop, answer=("Do this in shop? [y/N]: ", typed))
    assert ended == code, said
    assert ("done and verified" in said) == (code == 0)
    assert ("Nothing was changed." in said) == (code == 1)


# --- E26 ---

PAYLOADS = {
    "red": "\x1b[31mred",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "c1": "\x9b31mred",
    "bidi": "\u202etxt.exe",
    "return": "good\rPlan: 0 to create",
    "newline": "x\nPlan: 0 to create, 0 to update",
    "backspace": "bad\x08\x08\x08ok",
    "zero-width": "a\u200bb\u2066c",
}


def _in_image(folder: Path, text: str) -> Path:
    (folder / "shop.yaml").write_text(SHOP.replace('"web:1.0"', json.dumps(text)))
    return folder


def _in_name(folder: Path, text: str) -> Path:
    (folder / "shop.yaml").write_text(SHOP.replace("name: web", f"name: {json.dumps(text)}"))
    return folder


def _in_a_key(folder: Path, text: str) -> Path:
    (folder / "shop.yaml").write_text(SHOP.replace("specs: {", f"specs: {{{json.dumps(text)}: 1, "))
    return folder


def _in_the_scope(folder: Path, text: str) -> Path:
    (folder / "alma.yaml").write_text(f"version: 1\nscopes:\n  - {{name: {json.dumps(text)}, path: .}}\n")
    return folder


def _in_the_file_name(folder: Path, text: str) -> Path:
    (folder / f"{text.replace('/', '_')}.yaml").write_text("name: [\n")
    return folder


def _in_the_path(folder: Path, text: str) -> Path:
    return folder / text.replace("/", "_")


PLACES: Mapping[str, Callable[[Path, str], Path]] = {
    "image": _in_image,
    "name": _in_name,
    "key": _in_a_key,
    "scope": _in_the_scope,
    "file name": _in_the_file_name,
    "path": _in_the_path,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_others_wrote_is_obeyed_by_a_terminal(
    alma: Alma, shop: Path, place: str, payload: str, report_n: Callable[..., None]
) -> None:
    """E26, I45: no control character but the line end, no line forged, nothing reordered."""
    path = PLACES[place](shop, PAYLOADS[payload])
    for words in (["plan"], ["validate"], ["plan", "-o", "json"]):
        said = alma(words[0], path, *words[1:])
        assert said.code in (0, 3), said
        text = said.out + said.err
        assert all(c.isprintable() for c in text.replace("\n", "")), (words, text)
        forged = [line for line in text.splitlines() if line.startswith("Plan: 0 to create")]
        assert not forged, text
    report_n("E26", 1)
