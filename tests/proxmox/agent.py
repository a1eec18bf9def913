"""What the guest agent answers, and the interfaces of containers."""

from __future__ import annotations

from typing import Any

from tests.proxmox.calls import Call, Handler, Routes
from tests.proxmox.drives import is_net, read_line
from tests.proxmox.faults import died
from tests.proxmox.power import guest_name
from tests.proxmox.world import Guest, World

_LOOPBACK = {
    "name": "lo",
    "hardware-address": "00:00:00:00:00:00",
    "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}],
}


def _alive(call: Call) -> Guest:
    """The guest, if its agent is configured and answers. Raises the 500s of the API."""
    guest = call.guest("qemu")
    agent = guest.config.get("agent", "0").split(",")
    if not {"1", "enabled=1"}.intersection(agent):
        raise died("No QEMU guest agent configured")
    if not guest.running:
        raise died(f"VM {guest.vmid} is not running")
    if guest.agent in ("dead", "deaf"):
        raise died("QEMU guest agent is not running")
    return guest


def _address(guest: Guest, number: int) -> str:
    return f"10.{guest.vmid // 65536 % 256}.{guest.vmid // 256 % 256}.{(guest.vmid + number) % 256}"


def _interfaces(world: World, guest: Guest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [_LOOPBACK]
    for number, key in enumerate(sorted(key for key in guest.config if is_net(key))):
        line = read_line(world.version, guest.kind, key, guest.config[key])
        mac = line["macaddr" if guest.kind == "qemu" else "hwaddr"].lower()
        address = {"ip-address": _address(guest, number), "ip-address-type": "ipv4", "prefix": 24}
        found.append({"name": f"eth{number}", "hardware-address": mac, "ip-addresses": [address]})
    return found


def _network(call: Call) -> dict[str, Any]:
    guest = _alive(call)
    return {"result": guest.agent if isinstance(guest.agent, list) else _interfaces(call.world, guest)}


def _ping(call: Call) -> dict[str, Any]:
    _alive(call)
    return {"result": {}}


def _os(call: Call) -> dict[str, Any]:
    _alive(call)
    return {"result": {"id": "debian", "name": "Debian GNU/Linux", "version-id": "13"}}


def _host(call: Call) -> dict[str, Any]:
    return {"result": {"host-name": guest_name(_alive(call))}}


def _container(call: Call) -> list[dict[str, Any]]:
    guest = call.guest("lxc")
    if not guest.running:
        raise died(f"CT {guest.vmid} not running")
    return [
        {
            "name": row["name"],
            "hwaddr": row["hardware-address"],
            "hardware-address": row["hardware-address"],
            "ip-addresses": row["ip-addresses"],
            "inet": f"{row['ip-addresses'][0]['ip-address']}/{row['ip-addresses'][0]['prefix']}",
        }
        for row in _interfaces(call.world, guest)
    ]


_AGENT = "/nodes/{node}/qemu/{vmid}/agent"
_READS: dict[str, Handler] = {"network-get-interfaces": _network, "get-osinfo": _os, "get-host-name": _host}

ROUTES: Routes = {
    **{("GET", f"{_AGENT}/{name}"): handler for name, handler in _READS.items()},
    ("POST", f"{_AGENT}/ping"): _ping,
    ("GET", "/nodes/{node}/lxc/{vmid}/interfaces"): _container,
}
