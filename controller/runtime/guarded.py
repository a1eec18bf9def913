"""An engine held to its four errors: anything else it raises is a defect of it, and is answered as `Unclear` (I11).

Without this, one exception nobody thought of would end every attempt of a run at the same place, never undone and never
parked.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from controller.blueprint.entry import Probe
from controller.errors import AlmaError
from controller.plan.health import Health
from controller.plan.resource import ObjectKey
from controller.plan.step import Fence, OpId, Prior, Receipt, Step
from engines.engine import Engine, EngineError, Found, Refused, Seal, Unclear, Values

_log = structlog.get_logger("engine")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a run calls of one target's engine. Raises the contract's four errors, and nothing else."""

    engine: Engine
    target: str

    async def prior(self, step: Step, seal: Seal) -> Prior:
        return await self._held(self.engine.prior(step, seal))

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        return await self._held(self.engine.do(op, step, prior, values, fence))

    async def poll(self, receipt: Receipt) -> Receipt:
        return await self._held(self.engine.poll(receipt))

    async def find(self, op: OpId, step: Step) -> Found:
        return await self._held(self.engine.find(op, step))

    async def check(self, key: ObjectKey, probe: Probe) -> Health:
        return await self._held(self.engine.check(key, probe))

    def inverse(self, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        """Raises Refused where the engine cannot say how to take the step back."""
        try:
            return self.engine.inverse(step, prior, receipt)
        except Exception as e:
            _log.exception("defect in an engine", target=self.target)
            raise Refused(f"target {self.target} cannot say how to take it back ({type(e).__name__})") from e

    async def _held(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (EngineError, AlmaError):
            raise
        except Exception as e:
            _log.exception("defect in an engine", target=self.target)
            raise Unclear(f"target {self.target} failed in an unknown way ({type(e).__name__})") from e
