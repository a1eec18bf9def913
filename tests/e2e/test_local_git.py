"""The same story on a plain Git remote: `alma ipr` is the forge, through the controller's socket."""

from __future__ import annotations

import pytest

from tests.e2e.checkout import Checkout
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop, container_id
from tests.servers.dockerd import DockerDaemon

pytestmark = pytest.mark.docker


def reviewed(alma: Alma, number: int) -> bool:
    return any(p["number"] == number for p in alma.ask("ipr.list")["iprs"]) and bool(
        alma.ask("ipr.show", number=number)["comment"]
    )


def test_review_command_merge_and_undo_with_the_command_line(
    plain_remote: Checkout, local: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    local.start()
    plain_remote.push(shop.files(), "ipr/web")
    local.wait(lambda: reviewed(local, 1), "the review")
    assert "ipr/web" in local.cli("ipr", "list")
    assert "1 to create" in local.cli("ipr", "show", "1")
    local.cli("ipr", "comment", "1", "/alma help")
    local.wait(lambda: "/alma confirm" in local.cli("ipr", "show", "1"), "the answer")
    local.cli("ipr", "approve", "1")
    local.cli("ipr", "merge", "1")
    local.wait(lambda: local.ask("ipr.show", number=1)["final"], "the final state")
    shown = local.cli("ipr", "show", "1")
    assert shown.count("Final state: done") == 1
    assert shop.page() == "alma-test/web:1.0"
    assert "synced" in local.cli("status")
    before = container_id(docker_host)
    plain_remote.push(shop.files(shop.web("broken")), "ipr/bad")
    local.wait(lambda: reviewed(local, 2), "the second review")
    local.cli("ipr", "merge", "2")
    local.wait(lambda: local.ask("ipr.show", number=2)["final"], "the second final state")
    assert "Final state: undone" in local.cli("ipr", "show", "2")
    assert (container_id(docker_host), shop.page()) == (before, "alma-test/web:1.0")
    local.wait(lambda: "Revert prod" in local.cli("ipr", "list"), "the revert pull request")
    assert "undone" in local.cli("history")


def test_what_only_a_controller_does_is_refused_beside_it(local: Alma, plain_remote: Checkout) -> None:
    local.start()
    assert "prod" in local.cli("status", "-o", "json")
    local.cli("confirm", "nosuchrun", status=3)
    local.cli("ipr", "show", "99", status=3)
