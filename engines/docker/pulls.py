"""Image pulls under way: long work without a task id of the platform, so the op is the task. After a restart of this
process nothing is known of them, and asking again is safe."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.plan.step import OpId, Receipt, ReceiptState
from engines.docker import image
from engines.docker.client import SILENCE_TIMEOUT_S, Call, Client
from engines.engine import EngineError


@dataclass(slots=True)
class _Pull:
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    over: bool = False
    error: str = ""

    def percent(self) -> int:
        """How far all layers told so far are, 0 to 99."""
        done = sum(d for d, _ in self.layers.values())
        total = sum(t for _, t in self.layers.values())
        return min(99, done * 100 // total) if total else 0


class Pulls:
    """Pulls by op. `registries` are the logins; they never come out again."""

    def __init__(self, client: Client, registries: Mapping[str, tuple[str, str]]) -> None:
        self._client = client
        self._registries = registries
        self._pulls: dict[str, _Pull] = {}
        self._lock = threading.Lock()

    def start(self, op: OpId, reference: str) -> Receipt:
        """Begins it, once per op, and returns at once."""
        with self._lock:
            known = self._pulls.get(op)
            if known is None or known.error:
                self._pulls[op] = known = _Pull()
                self._client.start_pull(lambda: self._carry_out(known, reference))
        return self.poll(op)

    def knows(self, op: str) -> bool:
        """True if this process has begun the pull of `op`."""
        return op in self._pulls

    def poll(self, op: OpId) -> Receipt:
        """Running with its progress, done, failed with the registry's words, or vanished."""
        pull = self._pulls.get(op)
        if pull is None:
            return Receipt(op, ReceiptState.VANISHED, task=op)
        if pull.error:
            return Receipt(op, ReceiptState.FAILED, task=op, message=pull.error)
        if not pull.over:
            return Receipt(op, ReceiptState.RUNNING, task=op, progress=pull.percent())
        return Receipt(op, ReceiptState.DONE, task=op, progress=100)

    def _carry_out(self, pull: _Pull, reference: str) -> None:
        name, tag, digest = image.parts(reference)
        call = Call(
            "POST",
            "/images/create",
            {"fromImage": name, "tag": digest or tag},
            headers=image.login_header(reference, self._registries),
            timeout_s=SILENCE_TIMEOUT_S,
        )
        try:
            self._follow(pull, self._client.stream(call))
            pull.over = True
        except EngineError as error:
            pull.error = self._clean(f"{reference} cannot be pulled: {error}", reference)
        except Exception as error:  # a thread nobody joins: whatever it was, the poll must say it
            pull.error = self._clean(f"{reference} cannot be pulled: {type(error).__name__}", reference)

    def _follow(self, pull: _Pull, lines: Iterator[Any]) -> None:
        for line in lines:
            if "error" in line:
                raise EngineError(self._client.text(str(line["error"])))
            detail = line.get("progressDetail") or {}
            if line.get("id") and detail.get("total"):
                pull.layers[line["id"]] = (int(detail.get("current", 0)), int(detail["total"]))

    def _clean(self, text: str, reference: str) -> str:
        """Without the login, whatever the registry answered (I28)."""
        login = self._registries.get(image.registry(reference))
        for secret in login or ():
            text = text.replace(secret, "***") if len(secret) > 2 else text
        return self._client.text(text)
