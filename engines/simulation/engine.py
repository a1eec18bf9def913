"""The engine that needs no hypervisor: a platform kept in a state file, with the shapes of the real ones.

The default for first use, tests and what-if. All decisions are in the pure files beside this one; here is the I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import ClassVar, Self

from controller.blueprint.entry import Probe
from controller.plan.health import Health, HealthState
from controller.plan.resource import Claim, ClaimKind, Desired, Gap, Kind, Mark, ObjectKey, Seen, Snapshot
from controller.plan.step import Effect, Fence, OpId, Prior, Receipt, ReceiptState, Step
from engines.engine import Ask, Binding, Found, Hint, Seal, TargetInfo, Transient, Values
from engines.simulation import requests, undo
from engines.simulation.calls import Call
from engines.simulation.config import KEYS, Config, read_config
from engines.simulation.faults import Fault, Rule, described, due, strike
from engines.simulation.kinds import KINDS
from engines.simulation.preview import effects
from engines.simulation.record import SLOW_CHECKS, capacity_left, health_of, seen_of
from engines.simulation.sweep import sweep
from engines.simulation.world import Data, Record, World

VERSION = "simulation 1"


class SimulationEngine:
    """One simulated target (engine.md). Several processes may open the same one."""

    kinds: ClassVar[Mapping[str, Kind]] = KINDS
    schemes: ClassVar[Mapping[str, str]] = KEYS

    def __init__(self, binding: Binding, config: Config) -> None:
        self._binding = binding
        self._config = config
        self._world = World(config.path)
        self._read: tuple[Data, int, Mapping[str, Seen]] | None = None  # what one reading was made into

    @classmethod
    def open(cls, binding: Binding) -> Self:
        """Reads the target's configuration and nothing else. Raises InvalidInput."""
        return cls(binding, read_config(binding))

    async def close(self) -> None:
        """Nothing is held open between calls."""

    async def about(self) -> TargetInfo:
        """Raises Transient when the state file cannot be read."""
        await self._meet("about")
        self._world.read()
        return TargetInfo(VERSION, ("everything in its state file",))

    async def observe(self, ask: Ask) -> Snapshot:
        """See `Engine.observe`. Raises Transient; a fault `gap` tells of one."""
        rule = await self._fault("observe")
        if rule is not None and rule.fault is not Fault.GAP:
            await strike(rule, "observe")
        data = self._world.read()
        try:
            return Snapshot(
                objects=tuple(_asked(self._all(data), ask)) if rule is None else (),
                gaps=() if rule is None else (Gap("*", "simulated gap"),),
                capacity=capacity_left(self._config.capacity, data["objects"].values()),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Transient(f"simulation state {self._world.path} holds a damaged object: {error}") from error

    async def preview(self, wanted: Sequence[Desired], seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Pure arithmetic on what was observed."""
        await self._meet("preview")
        return effects(wanted, seen, scope, self._binding.install)

    async def sweep(self, seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """See `Engine.sweep`."""
        return sweep(seen, scope, self._binding.install)

    async def prior(self, step: Step, seal: Seal) -> Prior:
        """See `Engine.prior`. Raises Conflict, Transient."""
        await self._meet(f"prior {described(_call(step), step.key)}")
        record = self._world.read()["objects"].get(str(step.key))
        requests.must_expect(step.expects, step, record, self._binding.install)
        return undo.remembered(record, seal)

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """See `Engine.do`. All of it happens in one replacement of the file, so a kill leaves before or after."""
        text = described(_call(step), step.key)
        await self._latency()
        async with self._world.writing() as data:
            known = requests.receipt(data, op)
            if known is not None:
                return known  # the same request again: one effect (I12)
            if not fence.holds():
                raise Transient("the right to change this scope is not held for long enough (I14)")
            data["calls"] += 1
            rule = due(self._config.rules, data["fired"], text, data["calls"])
            answer = None
            if rule is None or rule.after:
                answer = self._carried_out(data, op, step, prior, values)
            _count(data, rule)
            self._world.save(data)
        if rule is not None or answer is None:
            assert rule is not None
            await strike(rule, text)
        return answer

    async def poll(self, receipt: Receipt) -> Receipt:
        """Each poll lets the platform's clock tick once."""
        await self._meet("poll")
        if requests.receipt(self._world.read(), receipt.op) is None:
            return Receipt(receipt.op, ReceiptState.VANISHED, receipt.task, receipt.uid)
        async with self._world.writing() as data:
            if requests.tick(data, receipt.op):
                self._world.save(data)
            answer = requests.receipt(data, receipt.op)
        return answer or Receipt(receipt.op, ReceiptState.VANISHED, receipt.task, receipt.uid)

    async def find(self, op: OpId, step: Step) -> Found:
        """See `Engine.find`. Raises Transient."""
        await self._meet(f"find {described(_call(step), step.key)}")
        return requests.found(self._world.read(), op, step, self._binding.install)

    def inverse(self, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        """See `Engine.inverse`."""
        return undo.inverse(step, prior, receipt)

    async def check(self, key: ObjectKey, probe: Probe) -> Health:
        """Every kind of probe is answered from the state; a slow start takes a few of them."""
        await self._meet(f"check {described('', key).strip()}")
        record = self._world.read()["objects"].get(str(key))
        if record is None:
            return Health(HealthState.MISSING, "not there")
        health = self._wished(record) or health_of(record)
        if health.state is HealthState.PROGRESSING and record["checks"] < SLOW_CHECKS:
            await self._warm_up(key)
        return health

    async def hints(self) -> AsyncIterator[Hint]:
        """None: the timers look often enough at a file."""
        none: tuple[Hint, ...] = ()
        for hint in none:
            yield hint

    def _carried_out(self, data: Data, op: OpId, step: Step, prior: Prior, values: Values) -> Receipt:
        requests.must_expect(step.expects, step, data["objects"].get(str(step.key)), self._binding.install)
        request, secrets = requests.filled(step, values, self._binding)
        call = Call(op, step.key, self._binding.install, request, secrets, prior.version, self._config.capacity)
        return requests.carry_out(data, call)

    async def _warm_up(self, key: ObjectKey) -> None:
        async with self._world.writing() as data:
            record = data["objects"].get(str(key))
            if record is not None:
                record["checks"] += 1
                self._world.save(data)

    def _all(self, data: Data) -> Mapping[str, Seen]:
        """Every object of one reading by its key; made once per state of the file."""
        if self._read is None or self._read[0] is not data or self._read[1] != data["serial"]:
            seen = {k: seen_of(r, self._wished(r)) for k, r in sorted(data["objects"].items())}
            self._read = (data, data["serial"], seen)
        return self._read[2]

    def _wished(self, record: Record) -> Health | None:
        return (self._config.health or {}).get(record["name"])

    async def _latency(self) -> None:
        if self._config.latency_s:
            await asyncio.sleep(self._config.latency_s)

    async def _meet(self, text: str) -> None:
        """Take the time a call takes, and fail if a rule says so."""
        rule = await self._fault(text)
        if rule is not None:
            await strike(rule, text)

    async def _fault(self, text: str) -> Rule | None:
        await self._latency()
        if not self._config.rules or due(self._config.rules, self._world.read()["fired"], text) is None:
            return None
        async with self._world.writing() as data:
            rule = due(self._config.rules, data["fired"], text)
            if rule is not None and rule.times:
                _count(data, rule)
                self._world.save(data)
        return rule


def _call(step: Step) -> str:
    return str(step.request["call"])


def _count(data: Data, rule: Rule | None) -> None:
    if rule is not None:
        data["fired"][rule.name] = data["fired"].get(rule.name, 0) + 1


def _asked(objects: Mapping[str, Seen], ask: Ask) -> Iterable[Seen]:
    """What an observe has to tell of, in the order of the keys."""
    claims = [c for c in ask.claims if c.kind is not ClaimKind.NAME and not c.amount]
    for seen in objects.values():
        if ask.everything or seen.key in ask.keys or _is_due(seen.mark, ask) or (claims and _holds_any(seen, claims)):
            yield seen


def _is_due(mark: Mark | None, ask: Ask) -> bool:
    return mark is not None and mark.install == ask.install and mark.scope in ask.scopes


def _holds_any(seen: Seen, claims: Sequence[Claim]) -> bool:
    return any(c.collides(o) for o in seen.claims for c in claims)
