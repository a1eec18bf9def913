"""`python -m tests.crash.commands ENGINE`: forks `alma` commands that die at their k-th boundary.

One line of JSON asks, one answers: {"args": [...], "kill": k} → {"killed": bool, "code": int, "out": text,
"boundaries": [name, …]}.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from controller.cli.main import run
from engines.registry import load_engine
from tests.crash.boundaries import Boundaries
from tests.crash.forking import Forker

Json = dict[str, Any]


class Zygote(Forker):
    """Forks commands that die, on targets of one engine."""

    def __init__(self, engine: str, environment: Mapping[str, str] | None = None) -> None:
        own = {k: v for k, v in os.environ.items() if not k.startswith("ALMA_")}
        super().__init__("tests.crash.commands", engine, {**own, **(environment or {})})

    def ask(self, args: list[str], kill: int = 0) -> Json:
        """One command, killed at its k-th boundary (0: never)."""
        return self.answer({"args": args, "kill": kill})


def forked(engine: type, args: list[str], kill: int) -> Json:
    """One command in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        boundaries = Boundaries(kill_at=kill or None)
        boundaries.watch(engine)
        with redirect_stdout(StringIO()) as out:
            code = run(args)
        with os.fdopen(writing, "w") as pipe:
            json.dump({"boundaries": boundaries.order, "out": out.getvalue()}, pipe)
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    return {"killed": killed, "code": -1 if killed else os.WEXITSTATUS(status), **json.loads(text or "{}")}


def warm() -> None:
    """One deploy of nothing: all that a command loads is then there in every process forked from here."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silence, redirect_stdout(silence):
        (Path(folder) / "nothing.yaml").write_text("name: nothing\nprovider: simulation\nresources: []\n")
        run(["--state", f"{folder}/state", "deploy", folder, "--yes"])
    gc.freeze()  # no collection of a forked process walks through, and so copies, what all of them share


def main() -> None:
    """Until nobody asks any more."""
    engine = load_engine(sys.argv[1])
    warm()
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(forked(engine, asked["args"], asked["kill"])), flush=True)


if __name__ == "__main__":
    main()
