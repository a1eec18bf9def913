"""Values for the markers of one step: secrets read now, outputs from this run or the last look (I27)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from controller.blueprint.sops import SopsFile, parts
from controller.blueprint.value import Output, Secret, Value, markers
from controller.errors import InvalidInput
from controller.plan.resource import Allow
from controller.plan.step import Sealed, Step
from controller.runtime.records import Records, ScopeRecord
from controller.runtime.run import RunState, Work
from engines.engine import Values

_SCOPES = "scopes/"
# Scope, revision, paths → the encrypted files at that revision.
SopsOf: TypeAlias = Callable[[str, str, frozenset[str]], Awaitable[Mapping[str, SopsFile]]]
AllowOf: TypeAlias = Callable[[str], Awaitable[Allow]]  # scope → what the server lets it ask for now


class SecretValues(Protocol):
    def values(self, refs: frozenset[str], allow: Allow, sops: Mapping[str, SopsFile]) -> Mapping[str, str]:
        """Reference → value. Raises RefusedByPolicy or InvalidInput naming the reference, never a value."""
        ...


class StepFiller:
    """Makes the `Values` of a step right before it is sent."""

    def __init__(
        self,
        records: Records,
        secrets: SecretValues,
        unseal: Callable[[Sealed], bytes],
        allow_of: AllowOf,
        sops_of: SopsOf,
    ) -> None:
        self._records, self._secrets, self._unseal = records, secrets, unseal
        self._allow_of, self._sops_of = allow_of, sops_of

    async def for_step(self, state: RunState, work: Work, step: Step) -> Values:
        """Only what this step's markers name."""
        allow = await self._allow_of(state.plan.scope)
        wanted = list(markers(step.request))
        named = [m for m in wanted if isinstance(m, Secret)]
        refs = frozenset(m.ref for m in named)
        outputs = {}
        for marker in wanted:
            if isinstance(marker, Output):
                value = await self._output(state, marker)
                if value is not None:
                    outputs[marker.resource, marker.key] = value
        secrets = self._secrets.values(refs, allow, await self._sops(state, named)) if refs else {}
        return Values(secrets, outputs, self._unseal, allow)

    async def _sops(self, state: RunState, named: Sequence[Secret]) -> Mapping[str, SopsFile]:
        """The files that the secrets stand in, as they were planned with (I2)."""
        blobs = {found[0]: m.blob for m in named if (found := parts(m.ref))}
        files = await self._sops_of(state.plan.scope, state.plan.revision, frozenset(blobs)) if blobs else {}
        for path, blob in blobs.items():
            if path not in files or files[path].blob != blob:
                raise InvalidInput(f"{path} is not what it was when this was planned", hint="plan again")
        return files

    async def _output(self, state: RunState, marker: Output) -> Value:
        fresh = run_outputs(state).get(marker.resource, {})
        if marker.key in fresh:
            return fresh[marker.key]
        if marker.resource.startswith(_SCOPES):
            other = await self._records.get(ScopeRecord, marker.resource.removeprefix(_SCOPES))
            return other.exported(marker.key) if other else None
        record = await self._records.get(ScopeRecord, marker.resource.partition("/")[0])
        return record.outputs.get(marker.resource, {}).get(marker.key) if record else None


def run_outputs(state: RunState) -> dict[str, dict[str, Value]]:
    """Resource id → outputs told by this run's own receipts; later steps win."""
    outputs: dict[str, dict[str, Value]] = {}
    for ref, op in sorted(state.ops.items()):
        if op.receipt and op.over and ref.undo < 0:
            resource = str(state.works[ref.work].change.effect.resource)
            outputs.setdefault(resource, {}).update(op.receipt.outputs)
    return outputs
