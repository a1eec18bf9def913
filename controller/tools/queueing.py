"""calculate_capacity: how many servers a load needs, by the queue M/M/c.

A. K. Erlang's formula for the probability that a request waits; requests arrive at random, service times vary as
much as they take on average. Real traffic is burstier: the headroom is for that.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from controller.errors import InvalidInput
from controller.tools.tool import Ground, Strict, Tool

_SERVERS_MAX = 100_000


class CapacityTakes(Strict):
    """A load as requests a second, or as users and what each asks. `wait_p95_ms`: the wait that 95 of 100 requests stay
    below. `parallel`: requests one instance works on at once."""

    users: Annotated[int, Field(ge=1, le=10**10)] | None = None
    requests_per_user_per_minute: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    requests_per_second: Annotated[float, Field(gt=0, le=10**8)] | None = None
    service_time_ms: Annotated[float, Field(gt=0, le=600_000)] = 50.0
    wait_p95_ms: Annotated[float, Field(ge=0, le=600_000)] = 100.0
    parallel: Annotated[int, Field(ge=1, le=10_000)] = 8
    headroom: Annotated[float, Field(ge=0, lt=1)] = 0.3
    cpu_per_instance: Annotated[float, Field(gt=0, le=1024)] = 2.0
    memory_gib_per_instance: Annotated[float, Field(gt=0, le=65_536)] = 4.0


class CapacityGives(Strict):
    requests_per_second: float
    instance_count: int
    cpu: float
    memory_gib: float
    utilisation: float
    headroom: float
    wait_p95_ms: float
    assumptions: tuple[str, ...]


def calculate_capacity(given: CapacityTakes, ground: Ground) -> CapacityGives:
    rate = given.requests_per_second
    if rate is None:
        if given.users is None:
            raise InvalidInput(
                "calculate_capacity needs requests_per_second or users", hint="--json '{\"users\": 1000000}'"
            )
        rate = given.users * given.requests_per_user_per_minute / 60
    service_s = given.service_time_ms / 1000
    load = rate * service_s  # in Erlang: workers that are busy on average
    least = math.ceil(load / (1 - given.headroom))
    workers = _enough(load, service_s, given.wait_p95_ms / 1000, max(least, 1))
    instances = math.ceil(workers / given.parallel)
    workers = instances * given.parallel
    return CapacityGives(
        requests_per_second=round(rate, 3),
        instance_count=instances,
        cpu=instances * given.cpu_per_instance,
        memory_gib=instances * given.memory_gib_per_instance,
        utilisation=round(load / workers, 4),
        headroom=round(1 - load / workers, 4),
        wait_p95_ms=round(wait_p95_s(workers, load, service_s) * 1000, 3),
        assumptions=(
            "requests arrive at random and independently (M/M/c)",
            f"{given.service_time_ms:g} ms of work a request, {given.parallel} at once on an instance",
        ),
    )


def _enough(load: float, service_s: float, wait_s: float, least: int) -> int:
    """The fewest workers, from `least` on, whose wait stays below the bound: found by halving."""
    low, high = least, least
    while wait_p95_s(high, load, service_s) > wait_s:
        low, high = high, high * 2
        if high > _SERVERS_MAX * 2:
            raise InvalidInput(
                "no number of instances within reason serves this load", hint="check the units: ms, per second"
            )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if wait_p95_s(middle, load, service_s) <= wait_s else (middle + 1, high)
    return high


def erlang_c(workers: int, load: float) -> float:
    """The probability that a request must wait. By Erlang B's recursion, so that no factorial grows."""
    if load >= workers:
        return 1.0
    blocked = 1.0
    for n in range(1, workers + 1):
        blocked = load * blocked / (n + load * blocked)
    return workers * blocked / (workers - load * (1 - blocked))


def wait_p95_s(workers: int, load: float, service_s: float) -> float:
    """Below this 95 of 100 requests wait; infinite where the queue grows without end."""
    if load >= workers:
        return math.inf
    waits = erlang_c(workers, load)
    return 0.0 if waits <= 0.05 else math.log(waits / 0.05) * service_s / (workers - load)


CALCULATE_CAPACITY = Tool(
    "calculate_capacity",
    "How many instances a load needs, by queueing arithmetic.",
    CapacityTakes,
    CapacityGives,
    calculate_capacity,
)
