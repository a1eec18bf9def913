"""What the README says is so: its commands are run and print what it shows, its tables are those of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from controller import settings
from controller.cli.main import COMMANDS
from controller.errors import AlmaError, InvalidInput, RefusedByPolicy, Unreachable
from controller.operations.rights import RIGHTS
from controller.review.command_answer import VerbKind
from controller.runtime.command import VERBS
from engines.docker import policy
from engines.docker.container_specs import DANGER, REFUSED, ContainerSpecs
from engines.proxmox.rights import ROLE
from engines.proxmox.settings import SCHEMES
from tests.readme import README, ROOT, rows, sessions
from tests.servers.process import wait_until

_PATIENCE_S = 60.0
_ENDED = "the-command-ended"
_CODE = re.compile(r"`([\w.]+)`")
_GRANTED = {"cap_add": "capabilities", "devices": "devices", "network_mode": "network_modes"} | {
    "runtime": "runtimes",
    "sysctls": "sysctls",
}


class Shell:
    """One shell for the whole README, in an empty folder: what a command leaves behind the next one finds."""

    def __init__(self, home: Path) -> None:
        who = {f"GIT_{role}_{what}": "reader" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        surroundings = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **who}
        surroundings |= {"GIT_CONFIG_NOSYSTEM": "1", "NO_COLOR": "1", "LANG": "C.UTF-8"}
        self.home = home
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=home,
            env=surroundings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> str:
        """What it prints, on either stream, once it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\necho; echo {_ENDED}\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.strip() == _ENDED:
                break
            lines.append(line)
        return "".join(lines).rstrip("\n")

    def close(self) -> None:
        """Ends what still runs in the background, then the shell."""
        self.run("kill $(jobs -p) 2>/dev/null; wait")
        self._process.communicate("exit\n", timeout=30)


@pytest.fixture
def shell() -> Iterator[Shell]:
    """In a folder with a short name: the path of a socket has a limit."""
    home = Path(tempfile.mkdtemp(prefix="alma-"))
    opened = Shell(home)
    yield opened
    opened.close()
    shutil.rmtree(home)


def test_every_command_of_the_readme_prints_what_it_shows(shell: Shell) -> None:
    """A reading is asked again until it shows what is told: the controller beside it needs a moment."""
    for said in sessions():
        until_s = time.monotonic() + _PATIENCE_S
        command = said.command.replace("ROOT", str(ROOT))
        told = shell.run(command)
        if command.endswith("&"):
            # A reading beside one that only starts would hold the state lock that it needs.
            wait_until(lambda: any(shell.home.glob("*/.alma/alma.sock")), timeout_s=_PATIENCE_S, what="the controller")
        while not said.shown_by(told) and _may_repeat(command) and time.monotonic() < until_s:
            told = shell.run(command)
        assert said.shown_by(told), f"$ {command}\n{told}"


def _may_repeat(command: str) -> bool:
    return bool(re.match(r"alma (status|history|ipr list|ipr show)\b", command))


def test_the_two_commands_of_the_readme_are_there() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"`make (\w+)`", README.read_text())
    assert {"demo", "test"} <= set(named) <= set(targets)


def test_the_table_of_commands_is_the_table_of_the_program() -> None:
    assert rows("Command") == [(f"`alma {name}`", told) for name, (_, told) in COMMANDS.items()]


def test_the_table_of_comment_verbs_is_the_grammar() -> None:
    kinds = {VerbKind.READ: "reads", VerbKind.BRANCH: "commits to the branch", VerbKind.ACT: "acts"}
    assert rows("In a comment") == [(f"`/alma {v.usage}`", kinds[v.kind], v.meaning) for v in VERBS.values()]


def test_the_table_of_rights_is_the_one_that_decides() -> None:
    told = [tuple(cell.replace("`", "") for cell in row) for row in rows("Verb")]
    assert told == [(r.verb, r.role.name.lower(), r.comment, r.gate) for r in RIGHTS.values()]


def test_the_exit_codes_are_those_of_the_errors() -> None:
    told = {int(code) for code, _ in rows("Exit code")}
    assert told == {0, 1, 2, 3, 4, 5, 130}
    assert {e.exit_code for e in (AlmaError, InvalidInput, RefusedByPolicy, Unreachable)} == {1, 3, 4, 5}


def leaves(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, object]]:
    """Every setting with its default."""
    for key, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        written = default.model_dump() if isinstance(default, BaseModel) else default
        if isinstance(default, BaseModel) and isinstance(written, dict):
            yield from leaves(type(default), f"{above}{key}.")
        else:
            yield above + key, written


def test_the_settings_of_the_readme_are_those_of_the_program() -> None:
    names = {path: name for name, path in settings._ENVIRONMENT.items()}
    expected = [
        (f"`{path}`", f"`{names[path]}`", f"`{default}`" if default not in (None, (), {}) else "none")
        for path, default in leaves(settings.Settings)
    ]
    told = [row[:3] for row in rows("Setting")]
    assert sorted(told) == sorted(expected)
    assert all(row[3] for row in rows("Setting"))


def test_what_is_said_of_compose_is_what_the_engine_takes() -> None:
    as_in_compose, granted, never = (set(_CODE.findall(keys)) for _, keys in rows("How far"))
    assert never == set(REFUSED) | set(DANGER)
    assert granted == set(_GRANTED)
    assert as_in_compose == set(ContainerSpecs.model_fields) - never - granted
    assert set(DANGER.values()) <= set(policy.NEVER)
    assert all(option in str(policy.__doc__) for option in _GRANTED.values())


def test_what_is_said_of_a_proxmox_target_is_what_the_engine_takes() -> None:
    assert rows("Key of a target") == [(f"`{key}`", meaning) for key, meaning in SCHEMES.items()]
    role = " ".join(sorted({right for rights in ROLE.values() for right in rights}))
    assert f'pveum role add Alma --privs "{role}"' in README.read_text()


def test_every_path_the_readme_names_is_there() -> None:
    text = README.read_text()
    named = set(re.findall(r"`((?:controller|engines|llm|tests|examples)/[\w./-]+)`", text))
    named |= set(re.findall(r"\]\(([^)#:]+)\)", text))
    assert len(named) > 6
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_link_within_the_readme_leads_somewhere() -> None:
    text = README.read_text()
    headings = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_the_changelog_names_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"**{version[1]}**" in README.read_text().partition("## Changelog")[2]
