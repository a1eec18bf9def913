"""`alma deploy` and `alma destroy` against the simulated platform."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controller.cli.conftest import SHOP, Alma, Said, many, two_scopes


def live(state: Path) -> dict[str, str]:
    """Object → image, read past the command line."""
    file = state / "simulation" / "simulation.json"
    objects = json.loads(file.read_text())["objects"] if file.exists() else {}
    return {name.partition(":")[2]: o["fields"]["image"] for name, o in objects.items()}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_deploy_makes_what_is_written_and_then_there_is_nothing_to_do(alma: Alma, shop: Path, state: Path) -> None:
    said = alma("deploy", shop, "--yes")
    assert said.code == 0
    assert "Plan: 1 to create, 0 to update" in said.out
    assert "done        create   shop/shop/web" in said.out
    assert "scope shop: done and verified in" in said.last
    assert live(state) == {"shop-shop-web": "web:1.0"}
    again = alma("deploy", shop)
    assert (again.code, again.last) == (0, "Nothing to do.")
    assert alma("plan", shop, "--detailed-exitcode").code == 0


def test_a_dry_run_changes_nothing(alma: Alma, shop: Path, state: Path) -> None:
    said = alma("deploy", shop, "--dry-run")
    assert said.code == 0
    assert said.last.startswith("Plan: 1 to create, 0 to update, 0 to recreate, 0 to destroy. Disruption: none. Digest")
    assert live(state) == {}


def test_without_a_terminal_a_yes_must_be_given(alma: Alma, shop: Path, state: Path) -> None:
    said = alma("deploy", shop)
    assert said.code == 3
    assert "next: --yes" in said.err
    assert live(state) == {}


def test_what_fails_is_undone_and_says_why_and_what_to_do(alma: Alma, shop: Path, state: Path) -> None:
    assert alma("deploy", shop, "--yes").code == 0
    never = SHOP.replace("]}", "], simulate: {health: never}}\n    health: {tcp: 80, timeout: 1s}")
    (shop / "shop.yaml").write_text(never.replace("web:1.0", "web:2.0"))
    said = alma("deploy", shop, "--yes")
    assert said.code == 1, said
    assert "failed      update   shop/shop/web" in said.out
    assert "failed and undone" in said.last
    assert "reason: shop-shop-web was not healthy within 1 s" in said.err
    assert "next: mend it, then: alma deploy" in said.err
    assert live(state) == {"shop-shop-web": "web:1.0"}


def test_scopes_go_in_the_order_they_depend_on_each_other(alma: Alma, tmp_path: Path, state: Path) -> None:
    folder = two_scopes(tmp_path / "two")
    up = alma("deploy", folder, "--yes")
    assert up.code == 0
    assert up.out.index("scope base: done") < up.out.index("scope app: done")
    down = alma("destroy", folder, "--yes")
    assert down.code == 0
    assert down.out.index("scope app: done") < down.out.index("scope base: done")
    assert live(state) == {}


def test_a_failed_scope_stops_those_that_depend_on_it(alma: Alma, tmp_path: Path, state: Path) -> None:
    said = alma("deploy", two_scopes(tmp_path / "two", broken="base"), "--yes")
    assert said.code == 1
    assert said.last == "scope app: not started, because base failed"
    assert live(state) == {}


def test_above_the_prune_limits_only_the_digest_lets_it_run(alma: Alma, tmp_path: Path, state: Path) -> None:
    folder = many(tmp_path / "all", 6)
    assert alma("deploy", folder, "--yes").code == 0
    many(folder, 2)
    refused = alma("deploy", folder, "--yes")
    assert refused.code == 4
    assert "4 of 6 objects would be deleted, more than the 25 % allowed" in refused.err
    digest = refused.err.split("--confirm ")[1].strip()
    assert f"Digest: {digest}" in refused.out
    assert alma("deploy", folder, "--confirm", "0" * 12).code == 4
    assert len(live(state)) == 6
    assert alma("deploy", folder, "--confirm", digest).code == 0
    assert len(live(state)) == 2


def test_an_empty_folder_never_deletes_on_a_plain_yes(alma: Alma, shop: Path, state: Path) -> None:
    """I17: also below every other limit."""
    assert alma("deploy", shop, "--yes").code == 0
    (shop / "shop.yaml").unlink()
    said = alma("deploy", shop, "--yes")
    assert said.code == 4
    assert "the desired state is empty" in said.err
    assert len(live(state)) == 1


def test_beside_a_controller_deploy_and_destroy_are_refused(alma: Alma, shop: Path, state: Path) -> None:
    state.mkdir()
    with socket.socket(socket.AF_UNIX) as controller:
        controller.bind(str(state / "alma.sock"))
        controller.listen()
        for command in ("deploy", "destroy"):
            said = alma(command, shop, "--yes")
            assert said.code == 4
            assert "a controller runs on" in said.err
            assert "and merge" in said.err


def test_destroy_scope_is_for_orphans(alma: Alma, shop: Path) -> None:
    assert alma("deploy", shop, "--yes").code == 0
    said = alma("destroy", "--scope", "shop")
    assert said.code == 4
    assert "is described by" in said.err
    assert alma("destroy", "--scope", "nobody").code == 3


class Slow:
    """A deploy in a process of its own, on a platform where each call takes its time."""

    def __init__(self, folder: Path, tmp_path: Path) -> None:
        config = tmp_path / "slow.yaml"
        config.write_text("id: here\ntargets:\n  simulation: {engine: simulation, latency_ms: 400}\n")
        self.quick = tmp_path / "quick.yaml"
        self.quick.write_text("id: here\ntargets:\n  simulation: {engine: simulation}\n")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller.cli.main", "--config", str(config), "deploy", str(folder), "--yes"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )

    def until(self, words: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if words in line:
                return
        raise AssertionError(f"{words} was never said")

    def end(self, number: signal.Signals) -> Said:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return Said(self.process.returncode, out, err)


def test_ctrl_c_takes_back_what_was_done(alma: Alma, tmp_path: Path, state: Path) -> None:
    slow = Slow(many(tmp_path / "all", 20), tmp_path)
    slow.until("running     create")
    said = slow.end(signal.SIGINT)
    assert said.code == 130, said
    assert "what this run changed is taken back" in said.err
    assert live(state) == {}
    assert "unfinished" not in alma("--config", slow.quick, "status").err


def test_a_killed_deploy_is_named_by_readers_and_finished_by_the_next_one(
    alma: Alma, tmp_path: Path, state: Path
) -> None:
    folder = many(tmp_path / "all", 20)
    slow = Slow(folder, tmp_path)
    slow.until("running     create")
    assert slow.end(signal.SIGKILL).code == -signal.SIGKILL
    for words in (["status"], ["plan", folder], ["history"]):
        said = alma("--config", slow.quick, *words)
        assert said.code == 0
        assert "of scope all is unfinished; alma deploy finishes it first" in said.err
    said = alma("--config", slow.quick, "deploy", folder, "--yes")
    assert said.code == 0
    assert "was left unfinished; it is finished first" in said.out
    assert said.last == "Nothing to do."
    assert len(live(state)) == 20
    assert alma("--config", slow.quick, "status").err == ""


def cut_off(state: Path, *, journal_lost: bool) -> str:
    """As a replacement leaves it that was killed before its new object had the name: one staged, one set aside. The
    uid of the latter."""
    file = state / "simulation" / "simulation.json"
    data = json.loads(file.read_text())
    (name, web) = next(iter(data["objects"].items()))
    for suffix, part in (("new", "staged"), ("old", "kept")):
        record = {**web, "name": f"{web['name']}.deadrun.{suffix}", "part": part, "running": False}
        data["objects"][f"{name}.deadrun.{suffix}"] = {**record, "uid": f"{web['uid']}-{suffix}"}
    del data["objects"][name]
    file.write_text(json.dumps(data))
    if journal_lost:
        for journal in state.glob("alma.db*"):
            journal.unlink()
    return f"{web['uid']}-old"


def uids(state: Path) -> dict[str, str]:
    objects = json.loads((state / "simulation" / "simulation.json").read_text())["objects"]
    return {name.partition(":")[2]: o["uid"] for name, o in objects.items()}


@pytest.mark.parametrize("journal_lost", [True, False])
def test_what_a_cut_off_run_left_is_swept_before_anything_is_planned(
    alma: Alma, shop: Path, state: Path, journal_lost: bool
) -> None:
    assert alma("deploy", shop, "--yes").code == 0
    cut_off(state, journal_lost=journal_lost)
    (shop / "shop.yaml").write_text(SHOP.replace("]}", "], memory: 512MB}"))
    said = alma("deploy", shop, "--yes")
    assert said.code == 0, said
    assert "left parts behind" in said.out and "Plan: 0 to create, 1 to update" in said.out
    assert list(uids(state)) == ["shop-shop-web"]
    assert alma("deploy", shop).last == "Nothing to do."


def test_leftovers_alone_are_swept_and_the_same_object_is_there_again(alma: Alma, shop: Path, state: Path) -> None:
    assert alma("deploy", shop, "--yes").code == 0
    kept = cut_off(state, journal_lost=True)
    said = alma("deploy", shop, "--yes")
    assert (said.code, said.last) == (0, "Nothing to do.")
    assert uids(state) == {"shop-shop-web": kept}


def test_leftovers_are_not_swept_without_a_yes(alma: Alma, shop: Path, state: Path) -> None:
    assert alma("deploy", shop, "--yes").code == 0
    cut_off(state, journal_lost=True)
    before = uids(state)
    assert alma("deploy", shop).code == 3
    assert alma("deploy", shop, "--dry-run").code in (0, 4)
    assert uids(state) == before


def test_a_destroy_takes_leftovers_away_too(alma: Alma, shop: Path, state: Path) -> None:
    assert alma("deploy", shop, "--yes").code == 0
    cut_off(state, journal_lost=True)
    assert alma("destroy", shop, "--yes").code == 0
    assert live(state) == {}
