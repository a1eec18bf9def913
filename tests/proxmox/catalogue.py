"""Every call the emulator answers, and every action its workers know."""

from __future__ import annotations

from collections.abc import Mapping

from tests.proxmox import (
    access,
    agent,
    backups,
    birth,
    clones,
    cluster,
    content,
    disks,
    firewall,
    guest_calls,
    ha,
    migration,
    node_network,
    nodes,
    pools,
    power,
    sdn,
    snapshots,
    storages,
)
from tests.proxmox.calls import Routes
from tests.proxmox.tasks import Action

ha_round = ha.ha_round

ROUTES: Routes = {
    **access.ROUTES,
    **agent.ROUTES,
    **backups.ROUTES,
    **birth.ROUTES,
    **clones.ROUTES,
    **cluster.ROUTES,
    **content.ROUTES,
    **disks.ROUTES,
    **firewall.ROUTES,
    **guest_calls.ROUTES,
    **ha.ROUTES,
    **migration.ROUTES,
    **node_network.ROUTES,
    **nodes.ROUTES,
    **pools.ROUTES,
    **power.ROUTES,
    **sdn.ROUTES,
    **snapshots.ROUTES,
    **storages.ROUTES,
}

ACTIONS: Mapping[str, Action] = {
    **backups.ACTIONS,
    **birth.ACTIONS,
    **clones.ACTIONS,
    **content.ACTIONS,
    **disks.ACTIONS,
    **guest_calls.ACTIONS,
    **ha.ACTIONS,
    **migration.ACTIONS,
    **node_network.ACTIONS,
    **sdn.ACTIONS,
    **power.ACTIONS,
    **snapshots.ACTIONS,
}
