"""One Kubernetes cluster behind the engine contract (engine.md): reads, predicts, sends one request at a time.

Ownership is read from labels and annotations on the objects. One pass lists each kind that the scope's record or the
asked keys name, once per namespace; what differs is tried by a server-side dry run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Self

from controller.blueprint.entry import Probe
from controller.plan.health import Health
from controller.plan.resource import Desired, Kind, ObjectKey, Snapshot
from controller.plan.step import Effect, Fence, OpId, Prior, Receipt, Step
from engines.engine import Ask, Binding, Found, Hint, Seal, TargetInfo, Values
from engines.kubernetes import undo
from engines.kubernetes.about import about
from engines.kubernetes.calls import Calls
from engines.kubernetes.checker import Checker
from engines.kubernetes.client import Client
from engines.kubernetes.discovery import Discovery
from engines.kubernetes.kinds import KINDS
from engines.kubernetes.lookup import Lookup
from engines.kubernetes.preview import Preview
from engines.kubernetes.reader import Reader
from engines.kubernetes.settings import SCHEMES, Settings, read
from engines.kubernetes.trial import Trial
from engines.kubernetes.watch import Watcher


class KubernetesEngine:
    """engines.engine.Engine for one cluster."""

    kinds: ClassVar[Mapping[str, Kind]] = KINDS
    schemes: ClassVar[Mapping[str, str]] = SCHEMES

    def __init__(self, binding: Binding, settings: Settings) -> None:
        self._install = binding.install
        self._client = Client(settings, binding.redact)
        discovery = Discovery(self._client)
        self._lookup = Lookup(self._client, discovery, settings, binding.install, binding.mask)
        self._calls = Calls(self._client, self._lookup, settings, binding.install)
        self._reader = Reader(self._client, discovery, settings, binding.install, binding.mask)
        self._trial = Trial(self._client, discovery, self._lookup, settings, binding.install, binding.mask)
        self._checker = Checker(self._client, discovery, self._lookup)
        self._watcher = Watcher(self._client, discovery, self._reader, binding.install)

    @classmethod
    def open(cls, binding: Binding) -> Self:
        """Connects to nothing yet. Raises InvalidInput when the target's configuration is wrong."""
        return cls(binding, read(binding.target, binding.config))

    async def close(self) -> None:
        """Gives the connections back."""
        await self._client.close()

    async def about(self) -> TargetInfo:
        """Version of the cluster, and which rights are missing."""
        return await about(self._client)

    async def observe(self, ask: Ask) -> Snapshot:
        """Owned objects of the asked scopes, and whoever sits on the asked keys."""
        return await self._reader.snapshot(ask)

    async def preview(self, wanted: Sequence[Desired], seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Asks the server, by dry run, only about objects whose own fields differ."""
        home = await self._client.namespace()
        return await Preview(self._trial, home, self._install).effects(wanted, seen, scope)

    async def sweep(self, seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Nothing: a run leaves no parts on a cluster, where two objects of one name cannot stand side by side."""
        return ()

    async def prior(self, step: Step, seal: Seal) -> Prior:
        """Our own fields of the object right now; secret values sealed."""
        return await self._lookup.prior(step, seal)

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """Sends exactly this request."""
        return await self._calls.do(op, step, prior, values, fence)

    async def poll(self, receipt: Receipt) -> Receipt:
        """Asks once."""
        return await self._lookup.poll(receipt)

    async def find(self, op: OpId, step: Step) -> Found:
        """What became of `op`."""
        return await self._lookup.find(op, step)

    def inverse(self, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        """Pure."""
        return undo.inverse(step, prior, receipt)

    async def check(self, key: ObjectKey, probe: Probe) -> Health:
        """Asks once, in the sense of kstatus."""
        return await self._checker.check(key)

    def hints(self) -> AsyncIterator[Hint]:
        """Changes of the collections that hold our objects."""
        return self._watcher.hints()
