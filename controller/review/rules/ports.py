"""Rules about ports that strangers reach."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.review.finding import Severity
from controller.review.rules.controls import IDENTITY, NETWORK, SEGMENTS, TRANSPORT
from controller.review.rules.coverage import CONTAINER, CONTAINERS, NETWORKS, RUNNING
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import PublishedPort, holds_data, image_name, items, ports, words

_DATA_PORTS = frozenset(
    {1433, 1521, 2379, 3306, 5432, 5672, 5984, 6379, 7000, 7474, 7687, 8086, 8123, 9042, 9092, 9200, 9300, 11211}
    | {15672, 19530, 26257, 27017, 33060}
)
_ADMIN_PORTS: Mapping[int, str] = {
    22: "SSH",
    2375: "Docker without TLS",
    2376: "Docker",
    3389: "remote desktop",
    5900: "VNC",
    6443: "Kubernetes",
    8006: "Proxmox VE",
    10250: "kubelet",
}
_PLAIN_PORTS: Mapping[int, str] = {21: "FTP", 23: "Telnet", 69: "TFTP", 512: "rexec", 513: "rlogin", 514: "rsh"}
_ADMIN_PAGES = frozenset(
    {"adminer", "phpmyadmin", "pgadmin4", "portainer", "portainer-ce", "portainer-ee", "mongo-express", "dozzle"}
    | {"redis-commander", "redisinsight", "kibana", "cadvisor", "kafka-ui", "phpredisadmin", "cloudbeaver", "yacht"}
)
_OPEN_DASHBOARDS = frozenset(
    {"--api.insecure", "--api.insecure=true", "--insecure-dashboard", "--enable-skip-login", "--disable-auth"}
    | {"--web.enable-admin-api", "--web.enable-lifecycle"}
)
_RANGE = re.compile(r"(?:^|:)(\d{1,5})-(\d{1,5})(?::|$)", re.ASCII)
_RANGE_MAX = 10


@rule(
    "database-port-public",
    Severity.HIGH,
    Reason.EXPOSURE,
    "Database port open to every address",
    why="Data stores are scanned for within minutes, and their own logins are weak walls.",
    source="PCI DSS 4.0, 1.4.4; requirements M19",
    kinds=RUNNING,
    controls=NETWORK,
    bad=Sample({"image": "postgres:16", "ports": ["5432:5432"]}, type="database"),
    good=Sample({"image": "postgres:16", "ports": ["127.0.0.1:5432:5432"]}, type="database"),
)
def database_port_public(entry: Entry) -> Iterator[Hit]:
    for port in ports(entry):
        if port.everywhere and _stores(entry, port):
            fix = f"bind it: 127.0.0.1:{port.published}:{port.target}, or drop the port and use a network"
            yield hit(entry, port.path, f"database port {port.published} is open on every address of the host", fix)


def _public(entry: Entry) -> Iterator[PublishedPort]:
    return (port for port in ports(entry) if port.everywhere)


def _stores(entry: Entry, port: PublishedPort) -> bool:
    return holds_data(entry) or port.target in _DATA_PORTS or port.published in _DATA_PORTS


def _judged_worse(entry: Entry, port: PublishedPort) -> bool:
    """True if another rule says more of this port."""
    return _stores(entry, port) or port.target in _ADMIN_PORTS or image_name(entry) in _ADMIN_PAGES


@rule(
    "admin-port-public",
    Severity.HIGH,
    Reason.EXPOSURE,
    "Administration port open to every address",
    why="Who gets in here has the machine.",
    source="CIS Docker 1.6.0, 2.7 and 5.14",
    kinds=RUNNING,
    controls=NETWORK,
    bad=Sample({"image": "dind:1", "ports": ["2375:2375"]}),
    good=Sample({"image": "dind:1", "ports": ["127.0.0.1:2375:2375"]}),
)
def admin_port_public(entry: Entry) -> Iterator[Hit]:
    for port in ports(entry):
        name = _ADMIN_PORTS.get(port.target)
        if name and port.everywhere and not _stores(entry, port):
            fix = "bind it to an address of the administration network"
            yield hit(entry, port.path, f"port {port.published} ({name}) is open on every address of the host", fix)


@rule(
    "plaintext-protocol",
    Severity.MEDIUM,
    Reason.TRANSPORT,
    "Protocol without encryption published",
    why="Passwords cross the network readable.",
    source="PCI DSS 4.0, 2.2.7",
    kinds=RUNNING,
    controls=TRANSPORT,
    bad=Sample({"image": "ftp:1", "ports": ["21:21"]}),
    good=Sample({"image": "sftp:1", "ports": ["2222:2222"]}),
)
def plaintext_protocol(entry: Entry) -> Iterator[Hit]:
    for port in ports(entry):
        name = _PLAIN_PORTS.get(port.target)
        if name:
            yield hit(entry, port.path, f"publishes {name} on port {port.published}", "use the encrypted successor")


@rule(
    "port-on-every-address",
    Severity.INFO,
    Reason.EXPOSURE,
    "Port open on every address",
    why="It also listens on networks that nobody thought of, and Docker's rules go past the host's firewall.",
    source="CIS Docker 1.6.0, 5.14",
    kinds=CONTAINER,
    controls=NETWORK,
    bad=Sample({"image": "web:1", "ports": ["8080:80"]}),
    good=Sample({"image": "web:1", "ports": ["192.168.1.10:8080:80"]}),
)
def port_on_every_address(entry: Entry) -> Iterator[Hit]:
    for port in _public(entry):
        if not _judged_worse(entry, port):
            fix = f"name the address: 192.168.1.10:{port.published}:{port.target}"
            yield hit(entry, port.path, f"port {port.published} listens on every address of the host", fix)


@rule(
    "low-port",
    Severity.INFO,
    Reason.PRIVILEGE,
    "System port published",
    why="Ports below 1024 belong to services of the host; 80 and 443 are meant for the world.",
    source="CIS Docker 1.6.0, 5.8",
    kinds=CONTAINER,
    controls=NETWORK,
    bad=Sample({"image": "mail:1", "ports": ["25:25"]}),
    good=Sample({"image": "web:1", "ports": ["80:8080", "2525:25"]}),
)
def low_port(entry: Entry) -> Iterator[Hit]:
    for port in _public(entry):
        if port.published < 1024 and port.published not in (80, 443):
            yield hit(entry, port.path, f"takes the system port {port.published}", "publish a port from 1024 on")


@rule(
    "admin-page-public",
    Severity.HIGH,
    Reason.EXPOSURE,
    "Administration page open to every address",
    why="It shows or changes everything behind it, and its login is the only wall.",
    source="PCI DSS 4.0, 1.3.1; NSA/CISA Kubernetes Hardening Guide 1.2, Network separation",
    kinds=CONTAINERS,
    controls=NETWORK,
    bad=Sample({"image": "adminer:4.8.1", "ports": ["8080:8080"]}),
    good=Sample({"image": "adminer:4.8.1", "ports": ["127.0.0.1:8080:8080"]}),
)
def admin_page_public(entry: Entry) -> Iterator[Hit]:
    for port in _public(entry):
        if image_name(entry) in _ADMIN_PAGES and not _stores(entry, port) and port.target not in _ADMIN_PORTS:
            fix = f"bind it: 127.0.0.1:{port.published}:{port.target}, or put a proxy with a login before it"
            yield hit(entry, port.path, f"the page of {image_name(entry)} is open on every address", fix)


@rule(
    "dashboard-without-login",
    Severity.HIGH,
    Reason.IDENTITY,
    "Dashboard without login",
    why="It tells strangers what runs, and often lets them change it.",
    source="PCI DSS 4.0, 8.3.1; Traefik documentation, api.insecure",
    kinds=CONTAINERS,
    controls=IDENTITY,
    bad=Sample({"image": "traefik:3.2", "command": ["--api.insecure=true"]}),
    good=Sample({"image": "traefik:3.2", "command": ["--api.dashboard=true"]}),
)
def dashboard_without_login(entry: Entry) -> Iterator[Hit]:
    for word in words(entry.specs.get("command")):
        if word.lower() in _OPEN_DASHBOARDS:
            fix = "remove it, and route the page through a login"
            yield hit(entry, "specs.command", f"{word} serves a dashboard without login", fix)


@rule(
    "ssh-in-container",
    Severity.LOW,
    Reason.IDENTITY,
    "Remote login into a container",
    why="It needs accounts, keys and updates of its own, and nobody reviews what is done there.",
    source="CIS Docker 1.6.0, 5.7",
    kinds=CONTAINER,
    controls=IDENTITY,
    bad=Sample({"image": "web:1", "command": ["/usr/sbin/sshd", "-D"]}),
    good=Sample({"image": "web:1", "command": ["serve"]}),
)
def ssh_in_container(entry: Entry) -> Iterator[Hit]:
    if any(word.rpartition("/")[2] in ("sshd", "dropbear") for word in words(entry.specs.get("command"))):
        fix = "use docker exec, or an SFTP image made for it"
        yield hit(entry, "specs.command", "starts an SSH server", fix)
    elif image_name(entry) in ("openssh-server", "sshd"):
        yield hit(entry, "specs.image", "is an SSH server", "use docker exec, or waive it with the reason")


@rule(
    "port-range-public",
    Severity.MEDIUM,
    Reason.CORRECTNESS,
    "Wide range of ports published",
    why="Nobody knows what will listen there; each is one more door.",
    source="CIS Docker 1.6.0, 5.9",
    kinds=CONTAINER,
    controls=NETWORK,
    bad=Sample({"image": "web:1", "ports": ["8000-8100:8000-8100"]}),
    good=Sample({"image": "web:1", "ports": ["8000-8002:8000-8002"]}),
)
def port_range_public(entry: Entry) -> Iterator[Hit]:
    for path, item in items(entry, "ports"):
        found = _RANGE.search(str(item.get("published", "")) if isinstance(item, Mapping) else str(item))
        if found and int(found[2]) - int(found[1]) >= _RANGE_MAX:
            text = f"publishes {int(found[2]) - int(found[1]) + 1} ports at once"
            yield hit(entry, path, text, "publish the few it needs one by one")


@rule(
    "reaches-past-firewall",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Network beside the host's firewall",
    why="macvlan and ipvlan put a container on the local network itself; what the host filters does not hold there.",
    source="Docker documentation, macvlan; PCI DSS 4.0, 1.2.1",
    kinds=NETWORKS,
    controls=SEGMENTS,
    bad=Sample({"driver": "macvlan"}, type="network"),
    good=Sample({"driver": "bridge"}, type="network"),
)
def reaches_past_firewall(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("driver") in ("macvlan", "ipvlan", "host"):
        fix = "use a bridge and publish ports, or filter on the switch and waive this"
        yield hit(entry, "specs.driver", f"{entry.specs['driver']} passes the host's firewall", fix)


RULES: tuple[Rule, ...] = (
    database_port_public,
    admin_port_public,
    plaintext_protocol,
    port_on_every_address,
    low_port,
    admin_page_public,
    dashboard_without_login,
    ssh_in_container,
    port_range_public,
    reaches_past_firewall,
)
