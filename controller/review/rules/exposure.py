"""Rules about what strangers can reach or read: ports, secrets, unprotected connections, images nobody pinned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.blueprint.value import Secret, Text, Value
from controller.review.finding import Severity
from controller.review.rules.coverage import ANYTHING, CONTAINERS, RUNNING
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import PublishedPort, environment, holds_data, ports, text, words
from controller.review.secret_scan import looks_secret, names_a_secret, suspects

_NETWORK: Mapping[str, tuple[str, ...]] = {
    "SOC2": ("CC6.6",),
    "GDPR": ("Art. 32(1)(b)",),
    "PCI-DSS": ("1.3.1", "1.4.4"),
}
_SECRETS: Mapping[str, tuple[str, ...]] = {
    "SOC2": ("CC6.1",),
    "GDPR": ("Art. 32(1)(a)",),
    "PCI-DSS": ("8.3.2", "8.6.2"),
}
_TRANSPORT: Mapping[str, tuple[str, ...]] = {
    "SOC2": ("CC6.7",),
    "GDPR": ("Art. 32(1)(a)",),
    "PCI-DSS": ("4.2.1",),
}
_CHANGE: Mapping[str, tuple[str, ...]] = {"SOC2": ("CC8.1",), "PCI-DSS": ("6.3.2",)}
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
_GUESSABLE = frozenset(
    [
        "admin",
        "administrator",
        "changeme",
        "change-me",
        "change_me",
        "default",
        "guest",
        "hunter2",
        "letmein",
        "pass",
        "passw0rd",
        "password",
        "password1",
        "postgres",
        "qwerty",
        "root",
        "secret",
        "test",
        "toor",
        "welcome",
        "1234",
        "12345",
        "123456",
        "12345678",
    ]
)
_AUTH_OFF: Mapping[str, frozenset[str]] = {
    "POSTGRES_HOST_AUTH_METHOD": frozenset({"trust"}),
    "MYSQL_ALLOW_EMPTY_PASSWORD": frozenset({"yes", "true", "1"}),
    "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": frozenset({"yes", "true", "1"}),
    "ALLOW_EMPTY_PASSWORD": frozenset({"yes", "true", "1"}),
    "ALLOW_ANONYMOUS_LOGIN": frozenset({"yes", "true", "1"}),
    "DISABLE_AUTH": frozenset({"yes", "true", "1"}),
    "GF_AUTH_ANONYMOUS_ENABLED": frozenset({"true", "1"}),
    "xpack.security.enabled": frozenset({"false"}),
}
_VERIFY_OFF = re.compile(
    r"(?i)^(?:NODE_TLS_REJECT_UNAUTHORIZED=0|PYTHONHTTPSVERIFY=0|GIT_SSL_NO_VERIFY=(?:1|true)"
    r"|\w*(?:TLS|SSL)_?(?:SKIP_)?(?:NO_)?(?:INSECURE|SKIP_VERIFY|NO_VERIFY)\w*=(?:1|true|yes)"
    r"|\w*(?:INSECURE_SKIP_VERIFY|SKIP_TLS_VERIFY)=(?:1|true|yes)|\w*VERIFY_(?:SSL|TLS)=(?:0|false|no))$"
)
_VERIFY_OFF_WORDS = frozenset({"--insecure", "--insecure-skip-verify", "--no-check-certificate", "--skip-tls-verify"})
_AUTH_NAMES = re.compile(r"(?i)(?:auth|oidc|oauth|sso|login|token|vault|ldap|saml|issuer|webhook)")
_HTTP_HOST = re.compile(r"http://(?:[^/@\s]*@)?([^/:\s]+)")
_LOCAL = re.compile(r"(?i)^(?:localhost|127\.|\[?::1|host\.docker\.internal|[a-z0-9-]+$|.*\.(?:local|internal|svc)$)")


@rule(
    "database-port-public",
    Severity.HIGH,
    Reason.EXPOSURE,
    "Database port open to every address",
    why="Data stores are scanned for within minutes, and their own logins are weak walls.",
    source="PCI DSS 4.0, 1.4.4; requirements M19",
    kinds=RUNNING,
    controls=_NETWORK,
    bad=Sample({"image": "postgres:16", "ports": ["5432:5432"]}, type="database"),
    good=Sample({"image": "postgres:16", "ports": ["127.0.0.1:5432:5432"]}, type="database"),
)
def database_port_public(entry: Entry) -> Iterator[Hit]:
    for port in ports(entry):
        if port.everywhere and _stores(entry, port):
            fix = f"bind it: 127.0.0.1:{port.published}:{port.target}, or drop the port and use a network"
            yield hit(entry, port.path, f"database port {port.published} is open on every address of the host", fix)


def _stores(entry: Entry, port: PublishedPort) -> bool:
    return holds_data(entry) or port.target in _DATA_PORTS or port.published in _DATA_PORTS


@rule(
    "admin-port-public",
    Severity.HIGH,
    Reason.EXPOSURE,
    "Administration port open to every address",
    why="Who gets in here has the machine.",
    source="CIS Docker 1.6.0, 2.7 and 5.14",
    kinds=RUNNING,
    controls=_NETWORK,
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
    controls=_TRANSPORT,
    bad=Sample({"image": "ftp:1", "ports": ["21:21"]}),
    good=Sample({"image": "sftp:1", "ports": ["2222:2222"]}),
)
def plaintext_protocol(entry: Entry) -> Iterator[Hit]:
    for port in ports(entry):
        name = _PLAIN_PORTS.get(port.target)
        if name:
            yield hit(entry, port.path, f"publishes {name} on port {port.published}", "use the encrypted successor")


@rule(
    "plain-secret",
    Severity.CRITICAL,
    Reason.SECRET,
    "Secret in plain text",
    why="Whoever can read the repository, today or in its history, has it. It must be replaced, not only removed.",
    source="requirements M40; threats I27; reliability E10",
    kinds=(ANYTHING,),
    controls=_SECRETS,
    bad=Sample({"image": "web:1", "env": {"API_TOKEN": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"}}),
    good=Sample({"image": "web:1", "env": {"API_TOKEN": Secret("env:APP_TOKEN")}}),
)
def plain_secret(entry: Entry) -> Iterator[Hit]:
    for part, value in (("specs", entry.specs), ("metadata", entry.metadata), ("backup", entry.backup)):
        for path in suspects(part, _given(entry, value)):
            # The value itself is never repeated (E10).
            fix = "replace the secret where it is used, then write {secret: env:NAME} here"
            yield hit(entry, path, f"{path} looks like a secret in plain text", fix)


def _given(entry: Entry, value: Value) -> Value:
    """Environment lists (`NAME=value`) as maps, so that the name counts; texts with markers as their plain parts."""
    if not isinstance(value, Mapping) or value is not entry.specs:
        return value
    lists = {k: dict(i.split("=", 1) for i in v if isinstance(i, str) and "=" in i) for k, v in _env_lists(value)}
    return {k: _without_markers(v) for k, v in {**value, **lists}.items()}


def _env_lists(specs: Mapping[str, Value]) -> Iterator[tuple[str, tuple[Value, ...]]]:
    for key in ("env", "environment"):
        given = specs.get(key)
        if isinstance(given, list | tuple):
            yield key, tuple(given)


def _without_markers(value: Value) -> Value:
    """`postgres://app:${secret}@db` holds no secret in plain text: the marker stands where it would be."""
    if isinstance(value, Text):
        return "".join(p if isinstance(p, str) else "${marker}" for p in value.parts)
    if isinstance(value, Mapping):
        return {k: _without_markers(v) for k, v in value.items()}
    return value


@rule(
    "guessable-password",
    Severity.HIGH,
    Reason.SECRET,
    "Guessable password",
    why="These are the first that anyone tries.",
    source="PCI DSS 4.0, 2.2.2",
    kinds=CONTAINERS,
    controls={**_SECRETS, "PCI-DSS": ("2.2.2", "8.3.6")},
    bad=Sample({"image": "web:1", "env": {"ADMIN_PASSWORD": "changeme"}}),
    good=Sample({"image": "web:1", "env": {"ADMIN_PASSWORD": Secret("env:APP_ADMIN")}}),
)
def guessable_password(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        # What the scan takes for a real secret is told as one.
        if names_a_secret(name) and str(value).lower() in _GUESSABLE and not looks_secret(path, value):
            yield hit(entry, path, f"{name} has a guessable value", "write {secret: env:NAME} with a random one")


@rule(
    "auth-off",
    Severity.HIGH,
    Reason.IDENTITY,
    "Authentication switched off",
    why="Whoever reaches the port is in.",
    source="PCI DSS 4.0, 8.3.1",
    kinds=CONTAINERS,
    controls={**_SECRETS, "PCI-DSS": ("8.2.1",)},
    bad=Sample({"image": "postgres:16", "env": {"POSTGRES_HOST_AUTH_METHOD": "trust"}}, type="database"),
    good=Sample({"image": "postgres:16", "env": {"POSTGRES_HOST_AUTH_METHOD": "scram-sha-256"}}, type="database"),
)
def auth_off(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        if str(value).lower() in _AUTH_OFF.get(name, ()):
            yield hit(entry, path, f"{name} switches authentication off", "remove it and set a password by reference")


@rule(
    "tls-verify-off",
    Severity.MEDIUM,
    Reason.TRANSPORT,
    "Certificate checks switched off",
    why="Encryption to an unknown other side protects from nobody in between.",
    source="PCI DSS 4.0, 4.2.1",
    kinds=CONTAINERS,
    controls=_TRANSPORT,
    bad=Sample({"image": "web:1", "env": {"NODE_TLS_REJECT_UNAUTHORIZED": "0"}}),
    good=Sample({"image": "web:1", "env": {"NODE_EXTRA_CA_CERTS": "/etc/ca.pem"}}),
)
def tls_verify_off(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        if _VERIFY_OFF.match(f"{name}={value}") or "sslmode=disable" in str(value):
            yield hit(entry, path, f"{name} switches certificate checks off", "bring the CA's certificate instead")
    if _VERIFY_OFF_WORDS & set(words(entry.specs.get("command"))):
        yield hit(entry, "specs.command", "the command switches certificate checks off", "bring the CA's certificate")


@rule(
    "credentials-over-http",
    Severity.MEDIUM,
    Reason.TRANSPORT,
    "Login service over plain HTTP",
    why="Tokens and passwords cross the network readable.",
    source="PCI DSS 4.0, 8.3.2",
    kinds=CONTAINERS,
    controls=_TRANSPORT,
    bad=Sample({"image": "web:1", "env": {"OIDC_ISSUER_URL": "http://login.example.org"}}),
    good=Sample({"image": "web:1", "env": {"OIDC_ISSUER_URL": "https://login.example.org"}}),
)
def credentials_over_http(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        host = _HTTP_HOST.match(value) if isinstance(value, str) else None
        if host and _AUTH_NAMES.search(name) and not _LOCAL.match(host[1]):
            yield hit(entry, path, f"{name} uses plain HTTP", "use https")


@rule(
    "image-unpinned",
    Severity.MEDIUM,
    Reason.SUPPLY,
    "Image without version",
    why="What runs tomorrow is not what was reviewed today, and there is nothing to go back to.",
    source="CIS Docker 1.6.0, 5.28; design.md 7",
    kinds=CONTAINERS,
    controls=_CHANGE,
    bad=Sample({"image": "nginx:latest"}),
    good=Sample({"image": "nginx:1.27"}),
)
def image_unpinned(entry: Entry) -> Iterator[Hit]:
    image = text(entry, "image")
    if image and not _tagged(image):
        yield hit(entry, "specs.image", f"image {image} is not pinned to a version", "name a version, as in nginx:1.27")
    if not image and entry.product and not entry.version:
        yield hit(entry, "engine", f"{entry.product} has no version", 'add version: "16" or what you run')


def _tagged(image: str) -> bool:
    """True if the image names a version, by tag or digest; a value that is filled in later counts as one."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@" in image or "${" in image or tag not in ("", "latest", "stable", "main", "master", "edge")


@rule(
    "image-without-digest",
    Severity.INFO,
    Reason.SUPPLY,
    "Image without digest",
    why="A tag can be moved. ALMA runs the digest it saw at review; a digest in Git also holds for everyone else.",
    source="CIS Docker 1.6.0, 4.5; design.md 7",
    kinds=CONTAINERS,
    controls=_CHANGE,
    bad=Sample({"image": "nginx:1.27"}),
    good=Sample({"image": "nginx:1.27@sha256:" + "0" * 64}),
)
def image_without_digest(entry: Entry) -> Iterator[Hit]:
    image = text(entry, "image")
    if image and "@sha256:" not in image and _tagged(image):
        yield hit(entry, "specs.image", f"image {image} has no digest", "append @sha256:… of the version you tested")


RULES: tuple[Rule, ...] = (
    database_port_public,
    admin_port_public,
    plaintext_protocol,
    plain_secret,
    guessable_password,
    auth_off,
    tls_verify_off,
    credentials_over_http,
    image_unpinned,
    image_without_digest,
)
