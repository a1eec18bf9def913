"""The connection to a Temporal server, and the names of its queues."""

from __future__ import annotations

from pathlib import Path

from temporalio.client import Client
from temporalio.service import TLSConfig

from controller.errors import InvalidInput
from controller.settings import TemporalSettings, TlsSettings


class ServerAway(Exception):
    """The server cannot be reached, or not as it is configured here."""


async def connected(where: TemporalSettings) -> Client:
    """Raises ServerAway, and InvalidInput for a file of `tls` that cannot be read."""
    try:
        return await Client.connect(
            where.address, namespace=where.namespace, tls=_tls(where.tls) if where.tls else False
        )
    except RuntimeError as e:  # the library's word for a server it cannot reach
        raise ServerAway(str(e)) from e


def site_queue(where: TemporalSettings, install: str, site: str) -> str:
    """Where the workers of one site look for work."""
    return f"{where.task_queue}/{install}/{site}"


def _tls(files: TlsSettings) -> TLSConfig:
    return TLSConfig(
        server_root_ca_cert=_read("ca", files.ca),
        domain=files.server_name,
        client_cert=_read("cert", files.cert),
        client_private_key=_read("key", files.key),
    )


def _read(name: str, path: str | None) -> bytes | None:
    try:
        return Path(path).expanduser().read_bytes() if path else None
    except OSError as e:
        raise InvalidInput(f"executor.temporal.tls.{name}: {path}: {e.strerror}", hint="it must be a PEM file") from e
