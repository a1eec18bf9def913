"""Serves an emulated cluster by hand: `python -m tests.proxmox --port 8006 --state DIR`.

Log in as root@pam with password `emulator`. The world lies in DIR; `--http` leaves TLS out. The certificate's
authority is written to DIR/authority.pem.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from pathlib import Path

from tests.proxmox.emulator import Emulator
from tests.proxmox.http_server import Listener
from tests.proxmox.schema import VERSIONS
from tests.proxmox.serving import certificate
from tests.proxmox.store import Store


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proxmox", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8006)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state", type=Path, required=True, help="folder of the saved world")
    parser.add_argument("--version", choices=VERSIONS, default="9.1")
    parser.add_argument("--seed", default="1", help="decides every random value")
    parser.add_argument("--http", action="store_true", help="no TLS")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    store = Store(arguments.state)
    emulator = Emulator(time.time, version=arguments.version, seed=arguments.seed, store=store)
    context, authority_pem = (None, b"") if arguments.http else certificate()
    if context is not None:
        (arguments.state / "authority.pem").write_bytes(authority_pem)
    port = await Listener(emulator.answer).start(arguments.host, arguments.port, context)
    print(f"listening on {'http' if arguments.http else 'https'}://{arguments.host}:{port}", flush=True)
    await asyncio.Event().wait()  # until the process is stopped


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments()))
