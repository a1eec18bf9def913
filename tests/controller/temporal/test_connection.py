"""The connection to Temporal over TLS: each side shows who it is, and neither goes on with another."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.errors import InvalidInput
from controller.settings import TemporalSettings, TlsSettings
from controller.temporal.connection import ServerAway, connected
from tests.servers.cutting_proxy import CuttingProxy
from tests.servers.temporal import TemporalServer

pytestmark = pytest.mark.temporal

HOST = "temporal.example"


def certified(folder: Path, name: str) -> tuple[str, str]:
    """Paths of a certificate of its own, which is its own authority too, and of its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(cert_file), str(key_file)


@pytest.fixture
async def address(temporal: TemporalServer, tmp_path: Path) -> AsyncIterator[str]:
    """Of a Temporal that speaks TLS only, and only to `alma`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certified(tmp_path, "alma")[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*certified(tmp_path, HOST))
    context.set_alpn_protocols(["h2"])
    proxy = CuttingProxy(temporal.port, context)
    await proxy.start()
    yield f"127.0.0.1:{proxy.port}"
    await proxy.close()


async def test_both_sides_show_who_they_are(address: str, tmp_path: Path) -> None:
    ours = {"cert": str(tmp_path / "alma.pem"), "key": str(tmp_path / "alma.key"), "server_name": HOST}
    tls = TlsSettings(ca=str(tmp_path / f"{HOST}.pem"), **ours)
    client = await connected(TemporalSettings(address=address, tls=tls))
    assert await client.service_client.check_health()


async def test_a_server_that_nobody_vouches_for_is_away(address: str) -> None:
    for tls in (TlsSettings(server_name=HOST), None):
        with pytest.raises(ServerAway):
            await connected(TemporalSettings(address=address, tls=tls))


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    where = TemporalSettings(address="127.0.0.1:1", tls=TlsSettings(ca=str(tmp_path / "none.pem")))
    with pytest.raises(InvalidInput, match=r"executor\.temporal\.tls\.ca: .*none\.pem: No such file"):
        await connected(where)
