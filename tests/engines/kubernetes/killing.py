"""`python -m tests.engines.kubernetes.killing`: forks `alma` commands that die at their k-th boundary.

One line of JSON asks, one answers: {"args": [...], "kill": k} → {"killed": bool, "code": int, "boundaries": int}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from controller.cli.main import run
from engines.kubernetes.engine import KubernetesEngine
from tests.crash.boundaries import Boundaries

Json = dict[str, Any]


def forked(args: list[str], kill: int) -> Json:
    """One command in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        boundaries = Boundaries(kill_at=kill or None)
        boundaries.watch(KubernetesEngine)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        code = run(args)
        os.write(writing, str(boundaries.count).encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as told:
        count = told.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    return {"killed": killed, "code": -1 if killed else os.WEXITSTATUS(status), "boundaries": int(count or 0)}


def main() -> None:
    """Until nobody asks any more."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(forked(asked["args"], asked["kill"])), flush=True)


if __name__ == "__main__":
    main()
