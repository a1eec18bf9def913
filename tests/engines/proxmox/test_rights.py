"""What the README says a token needs is enough for an estate; what is missing is told with its mend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engines.engine import Refused
from engines.proxmox.rights import ROLE
from tests.engines.conformance import entry
from tests.engines.proxmox.cluster import Cluster
from tests.engines.proxmox.driving import CT, NET, VM, Driver, lxc, vm

Report = Callable[..., None]
PRIVILEGES = sorted({right for rights in ROLE.values() for right in rights})
ESTATE = (
    entry("a", "pool", specs={"comment": "ours"}),
    vm("base", {**VM, **NET, "template": True}),
    lxc(specs={**CT, "pool": "a", "nets": {"net0": {"bridge": "vmbr0"}}}),
    vm("made", {"clone": "base", "disk": "16GB", "pool": "a", "cloudinit": {"user": "ops"}, "snapshot": True}),
)
CHANGED = (
    entry("a", "pool", specs={"comment": "still ours"}),
    vm("base", {**VM, **NET, "template": True}),
    lxc(specs={**CT, "memory": "512MB", "firewall": {"enable": True, "rules": [{"action": "DROP"}]}}),
    vm(
        "made",
        {"clone": "base", "disk": "20GB", "cpu": 3, "tags": ["x"], "cloudinit": {"user": "dev"}, "snapshot": True},
    ),
)


def granted(cluster: Cluster, privileges: list[str]) -> None:
    """The token's user with the role of the README, and nothing else."""
    root = cluster.root
    root.put("/access/acl", path="/", users="alma@pve", roles="Administrator", delete=1)
    root.post("/access/roles", roleid="Alma", privs=" ".join(privileges))
    root.put("/access/acl", path="/", users="alma@pve", roles="PVEAuditor")
    for path in ROLE:
        root.put("/access/acl", path=path, users="alma@pve", roles="Alma")


async def test_the_role_of_the_readme_is_enough(cluster: Cluster, report_n: Report) -> None:
    granted(cluster, PRIVILEGES)
    driver = Driver(cluster)
    assert (await driver.engine.about()).missing == ()
    for state in (ESTATE, CHANGED, ()):
        report_n("proxmox: steps with the least rights", len(await driver.bring(*state)))
        assert await driver.settled(*state)
    assert cluster.guests() == {}
    await driver.engine.close()


@pytest.mark.parametrize("left_out", PRIVILEGES)
async def test_a_right_that_is_missing_is_told_with_its_mend(left_out: str, cluster: Cluster, report_n: Report) -> None:
    granted(cluster, [p for p in PRIVILEGES if p != left_out])
    driver = Driver(cluster)
    missing = (await driver.engine.about()).missing
    seeing = left_out.endswith(".Audit")
    gaps = (await driver.look()).gaps
    assert bool(gaps) is seeing, "what cannot be seen is a gap"
    if not seeing:
        assert any(left_out in line and "pveum" in line for line in missing)
    report_n("proxmox: rights told", 1)
    await driver.engine.close()


async def test_a_token_that_may_not_write_is_refused_and_nothing_happens(cluster: Cluster) -> None:
    granted(cluster, [p for p in PRIVILEGES if p != "VM.Allocate"])
    driver = Driver(cluster)
    with pytest.raises(Refused, match=r"VM\.Allocate"):
        await driver.bring(lxc())
    assert cluster.guests() == {}
    await driver.engine.close()
