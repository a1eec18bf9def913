"""Rules about what lies readable: secrets, logins switched off, connections nobody checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.blueprint.value import Secret, Text, Value
from controller.review.finding import Severity
from controller.review.manifest import manifests
from controller.review.rules.controls import ACCESS, IDENTITY, SECRETS, TRANSPORT
from controller.review.rules.coverage import ANYTHING, CONTAINER, CONTAINERS
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import environment, items, words
from controller.review.secret_scan import looks_secret, names_a_secret, suspects

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
_DEBUGGING: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        ["DEBUG", "FLASK_DEBUG", "APP_DEBUG", "DJANGO_DEBUG", "WP_DEBUG", "RAILS_DEBUG"], frozenset({"1", "true", "on"})
    ),
    **dict.fromkeys(
        ["FLASK_ENV", "NODE_ENV", "RAILS_ENV", "APP_ENV", "ASPNETCORE_ENVIRONMENT"],
        frozenset({"development", "dev", "local"}),
    ),
}
_HTTP_HOST = re.compile(r"http://(?:[^/@\s]*@)?([^/:\s]+)")
_LOCAL = re.compile(r"(?i)^(?:localhost|127\.|\[?::1|host\.docker\.internal|[a-z0-9-]+$|.*\.(?:local|internal|svc)$)")


@rule(
    "plain-secret",
    Severity.CRITICAL,
    Reason.SECRET,
    "Secret in plain text",
    why="Whoever can read the repository, today or in its history, has it. It must be replaced, not only removed.",
    source="requirements M40; threats I27; reliability E10",
    kinds=(ANYTHING,),
    controls=SECRETS,
    bad=Sample({"image": "web:1", "env": {"API_TOKEN": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"}}),
    good=Sample({"image": "web:1", "env": {"API_TOKEN": Secret("env:APP_TOKEN")}}),
)
def plain_secret(entry: Entry) -> Iterator[Hit]:
    told = _told_elsewhere(entry)
    for part, value in (("specs", entry.specs), ("metadata", entry.metadata), ("backup", entry.backup)):
        for path in suspects(part, _given(entry, value)):
            if path.startswith(told):
                continue
            # The value itself is never repeated (E10).
            fix = "replace the secret where it is used, then write {secret: env:NAME} here"
            yield hit(entry, path, f"{path} looks like a secret in plain text", fix)


def _told_elsewhere(entry: Entry) -> tuple[str, ...]:
    """Where Kubernetes objects of kind Secret hold their values: `secret-in-git` speaks of these."""
    found = (m for m in manifests(entry) if m.kind == "Secret") if entry.type == "manifest" else ()
    return tuple(m.place(part) + "." for m in found for part in ("data", "stringData"))


def _given(entry: Entry, value: Value) -> Value:
    """Environment lists (`NAME=value`) as maps, so that the name counts; texts with markers as their plain parts."""
    if not isinstance(value, Mapping) or value is not entry.specs:
        return value
    lists = {k: dict(i.split("=", 1) for i in v if isinstance(i, str) and "=" in i) for k, v in _env_lists(value)}
    commands = {k: _as_line(value[k]) for k in ("command", "entrypoint") if k in value}
    return {k: _without_markers(v) for k, v in {**value, **lists, **commands}.items()}


def _as_line(command: Value) -> Value:
    """A command as one text, so that an option stands before its value. Markers in it are left out."""
    if not isinstance(command, list | tuple):
        return command
    return " ".join(str(w) for w in command if isinstance(w, str | int))


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
    controls={**SECRETS, "PCI-DSS": ("2.2.2", "8.3.6")},
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
    controls={**SECRETS, "PCI-DSS": ("8.2.1",)},
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
    controls=TRANSPORT,
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
    controls=TRANSPORT,
    bad=Sample({"image": "web:1", "env": {"OIDC_ISSUER_URL": "http://login.example.org"}}),
    good=Sample({"image": "web:1", "env": {"OIDC_ISSUER_URL": "https://login.example.org"}}),
)
def credentials_over_http(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        host = _HTTP_HOST.match(value) if isinstance(value, str) else None
        if host and _AUTH_NAMES.search(name) and not _LOCAL.match(host[1]):
            yield hit(entry, path, f"{name} uses plain HTTP", "use https")


@rule(
    "environment-from-host",
    Severity.LOW,
    Reason.SECRET,
    "Environment from a file of the host",
    why="Nobody reviewed that file, and what stands in it is no part of what is deployed.",
    source="threats I35, I38; PCI DSS 4.0, 8.6.2",
    kinds=CONTAINER,
    controls=SECRETS,
    bad=Sample({"image": "web:1", "env_file": ".env"}),
    good=Sample({"image": "web:1", "env": {"MODE": "production"}}),
)
def environment_from_host(entry: Entry) -> Iterator[Hit]:
    for path, item in items(entry, "env_file"):
        yield hit(entry, path, f"reads {item} from the host", "write env here, secrets as {secret: env:NAME}")


@rule(
    "docker-over-tcp",
    Severity.HIGH,
    Reason.TRANSPORT,
    "Docker Engine over plain TCP",
    why="Port 2375 has no login: whoever reaches it is root on that host.",
    source="CIS Docker 1.6.0, 2.7",
    kinds=CONTAINERS,
    controls=TRANSPORT,
    bad=Sample({"image": "agent:1", "env": {"DOCKER_HOST": "tcp://10.0.0.4:2375"}}),
    good=Sample({"image": "agent:1", "env": {"DOCKER_HOST": "tcp://10.0.0.4:2376", "DOCKER_TLS_VERIFY": "1"}}),
)
def docker_over_tcp(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        if name == "DOCKER_HOST" and str(value).startswith(("tcp://", "http://")) and str(value).endswith(":2375"):
            yield hit(entry, path, "reaches a Docker Engine without TLS", "port 2376 with client certificates")


@rule(
    "debug-mode",
    Severity.LOW,
    Reason.EXPOSURE,
    "Debug mode",
    why="Error pages then show code, settings and sometimes a console to whoever causes an error.",
    source="PCI DSS 4.0, 2.2.1; OWASP ASVS 4.0, 14.3.2",
    kinds=CONTAINERS,
    controls=ACCESS,
    bad=Sample({"image": "web:1", "env": {"FLASK_DEBUG": "1"}}),
    good=Sample({"image": "web:1", "env": {"FLASK_DEBUG": "0", "NODE_ENV": "production"}}),
)
def debug_mode(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        if str(value).lower() in _DEBUGGING.get(name, ()):
            yield hit(entry, path, f"{name} switches debug mode on", f"remove {name}, or keep it to a test scope")


@rule(
    "login-from-anywhere",
    Severity.MEDIUM,
    Reason.IDENTITY,
    "Root of a database from any address",
    why="The account that may do everything should be reachable from nowhere but beside the database.",
    source="PCI DSS 4.0, 7.2.5; MySQL documentation, MYSQL_ROOT_HOST",
    kinds=CONTAINERS,
    controls=IDENTITY,
    bad=Sample({"image": "mysql:8.4", "env": {"MYSQL_ROOT_HOST": "%"}}, type="database"),
    good=Sample({"image": "mysql:8.4", "env": {"MYSQL_ROOT_HOST": "localhost"}}, type="database"),
)
def login_from_anywhere(entry: Entry) -> Iterator[Hit]:
    for path, name, value in environment(entry):
        if name in ("MYSQL_ROOT_HOST", "MARIADB_ROOT_HOST") and str(value) == "%":
            yield hit(entry, path, "root may log in from any address", f"{name}: localhost")


RULES: tuple[Rule, ...] = (
    plain_secret,
    guessable_password,
    auth_off,
    tls_verify_off,
    credentials_over_http,
    environment_from_host,
    docker_over_tcp,
    debug_mode,
    login_from_anywhere,
)
