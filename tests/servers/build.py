"""`python -m tests.servers.build [NAME…]`: builds the Go servers of the tests and fetches the descriptions of
the GitHub and GitLab APIs, one line each.

Compose is a peer to measure against, so only the bench asks for it. Without Go the tests that need a server are
listed as not run; under CI=true that is an error here already.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from tests.servers.descriptions import DESCRIPTIONS, Description, described, fetch
from tests.servers.go_server import GO_SERVERS, GoServer, NotBuilt, build, built

_DEFAULT = (
    "gitea",
    "kubernetes",
    "kwok",
    "helm",
    "temporal",
    "sops",
    *(description.name for description in DESCRIPTIONS),
)


def main(names: Sequence[str], *, strict: bool) -> int:
    """Builds the named servers; 1 if one could not be built and `strict` holds, 2 for an unknown name."""
    known: dict[str, GoServer | Description] = {each.name: each for each in (*GO_SERVERS, *DESCRIPTIONS)}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"servers: unknown: {', '.join(unknown)}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    complete = [_report(known[name]) for name in names or _DEFAULT]
    return 0 if all(complete) or not strict else 1


def _report(server: GoServer | Description) -> bool:
    if built(server) if isinstance(server, GoServer) else described(server):
        print(f"servers: {server.name:<15} built before")
        return True
    print(f"servers: {server.name:<15} building once, this takes a few minutes", flush=True)
    start_s = time.monotonic()
    try:
        build(server) if isinstance(server, GoServer) else fetch(server)
    except NotBuilt as missing:
        print(f"servers: {server.name:<15} not built: {missing}", file=sys.stderr)
        return False
    print(f"servers: {server.name:<15} built in {time.monotonic() - start_s:.0f} s")
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], strict=os.environ.get("CI") == "true"))
