"""What the worker of a site answers between runs: readings of its targets, for whoever has the install's key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from controller.blueprint.value import Secret
from controller.blueprint.value import replace as substitute
from controller.plan.resource import Allow, Desired, Snapshot
from controller.plan.step import Effect, Sealed
from controller.runtime.observe import OnDefect
from controller.runtime.planning import Secrets
from controller.seal import Key, SealBroken
from controller.temporal.activities import beating
from controller.temporal.site_call import ANSWER, NOT_UNDERSTOOD, OTHER_KEY
from controller.temporal.site_words import (
    About,
    Asked,
    NotUnderstood,
    Observe,
    Preview,
    Question,
    Sweep,
    answer_said,
    question_heard,
)
from engines.engine import Engine, EngineError, Refused, TargetInfo, Unclear

AllowOf = Callable[[str], Awaitable[Allow]]
Answer = TargetInfo | Snapshot | Sequence[Effect]


@dataclass(frozen=True, slots=True)
class SiteAnswers:
    """Of one worker. `version` is its own, `allow_of` what it lets a scope ask for."""

    site: str
    install: str
    version: str
    key: Key
    engines: Mapping[str, Engine]
    engine_of: Mapping[str, str]
    secrets: Secrets
    allow_of: AllowOf
    on_defect: OnDefect

    def all(self) -> Sequence[Callable[..., Any]]:
        """For a worker."""
        return (self.answer,)

    @activity.defn(name=ANSWER)
    async def answer(self, sealed: str) -> str:
        """Sealed for this question alone, as the question was."""
        name = activity.info().workflow_id or ""
        async with beating():
            try:
                asked = question_heard(self.key.sealer(name).open(Sealed(sealed)), self.version)
            except SealBroken as e:
                raise ApplicationError(f"it has another key_file ({e})", type=OTHER_KEY, non_retryable=True) from None
            except NotUnderstood as e:
                raise ApplicationError(str(e), type=NOT_UNDERSTOOD, non_retryable=True) from None
            return self.key.seal(f"{name}/answer", answer_said(await self._answered(asked))).blob

    async def _answered(self, asked: Asked) -> Answer | EngineError:
        try:
            return await self._asked_of(self._engine(asked), asked.question)
        except EngineError as e:
            return e
        except asyncio.CancelledError:
            raise
        except Exception as e:
            self.on_defect(asked.target)
            return Unclear(f"a defect ({type(e).__name__}); the log of the worker of site {self.site} says more")

    def _engine(self, asked: Asked) -> Engine:
        """Raises Refused for what this worker is not there for."""
        if asked.install != self.install:
            raise Refused(f"the worker of site {self.site} belongs to install {self.install}, not {asked.install}")
        if self.engine_of.get(asked.target) != asked.engine:
            known = ", ".join(f"{t} ({e})" for t, e in sorted(self.engine_of.items()))
            raise Refused(f"the worker of site {self.site} has no {asked.engine} target {asked.target}; it has {known}")
        return self.engines[asked.target]

    async def _asked_of(self, engine: Engine, question: Question) -> Answer:
        match question:
            case About():
                return await engine.about()
            case Observe(ask):
                return await engine.observe(ask)
            case Sweep(seen, scope):
                return await engine.sweep(seen, scope)
            case Preview(wanted, seen, scope):
                allow = await self.allow_of(scope)
                return await engine.preview([self._hashed(one, allow) for one in wanted], seen, scope)

    def _hashed(self, wanted: Desired, allow: Allow) -> Desired:
        """With the hashes of the values that are here; the controller's are of others, or of none."""

        def fill(leaf: object) -> object:
            if isinstance(leaf, Secret):
                if leaf.blob:
                    raise Refused(f"{leaf.ref}: the worker of site {self.site} reads no repository; use env: or file:")
                return Secret(leaf.ref, self.secrets.keyed_hash(leaf.ref, allow, {}))
            return leaf

        fields, private = substitute(wanted.fields, fill), substitute(wanted.private, fill)
        assert isinstance(fields, dict) and isinstance(private, dict), "maps stay maps"
        return replace(wanted, fields=fields, private=private)
