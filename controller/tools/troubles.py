"""troubleshoot_issue: what an error message usually means, looked up in a table, with what the blueprint adds to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from controller.blueprint.entry import Entry
from controller.review.inert import visible
from controller.review.rules.specs import ports
from controller.review.sizing import memory_of
from controller.tools.reading import loaded
from controller.tools.tool import TEXT_MAX, Ground, Strict, Tool


@dataclass(frozen=True, slots=True)
class _Known:
    pattern: re.Pattern[str]
    cause: str
    next_steps: tuple[str, ...]


def _known(pattern: str, cause: str, *next_steps: str) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE), cause, next_steps)


UNKNOWN = "not among the known ones"
_TABLE = (
    _known(
        r"address already in use|port is already allocated|bind: .{0,200}in use",
        "another process holds the port",
        "find who holds it: ss -ltnp, docker ps",
        "publish another port, or stop the other one",
    ),
    _known(
        r"oomkilled|out of memory|exit(?:ed)? (?:code|with) 137|cannot allocate memory",
        "it used more memory than its limit",
        "look at its peak, then raise memory",
        "look for a leak if it grows without end",
    ),
    _known(
        r"imagepullbackoff|errimagepull|pull access denied|manifest (?:for .{0,200} )?(?:unknown|not found)"
        r"|no such image",
        "the image is not there under this name, or the registry wants a login",
        "check name and tag",
        "add the registry's login to the server's configuration",
    ),
    _known(
        r"connection refused",
        "nothing listens there yet, or on another address",
        "depend on what is called, so that it starts first",
        "check port and listen address",
    ),
    _known(
        r"no such host|name (?:or service )?not (?:known|resolved)|could not resolve|nxdomain",
        "the name is not known where it is asked for",
        "put both on one network; the name is that of the resource",
    ),
    _known(
        r"permission denied|operation not permitted|read-only file system",
        "the user inside may not do that",
        "give the folder to the user, or mount a volume where it writes",
    ),
    _known(
        r"no space left on device|disk quota exceeded",
        "the disk is full",
        "free space: old images and logs first",
        "bound logs and grow the disk",
    ),
    _known(
        r"x509|certificate (?:has expired|verify failed|signed by unknown)",
        "the certificate is not trusted, or over",
        "bring the CA's certificate, or renew it",
    ),
    _known(
        r"unhealthy|not healthy|health ?check|context deadline exceeded|timed? ?out",
        "it did not become healthy in time",
        "raise health.timeout if it starts slowly",
        "run the probe by hand inside",
    ),
    _known(
        r"crashloopbackoff|back-off restarting|restarting \(",
        "it ends soon after each start",
        "read its last lines: alma logs RUN",
        "check command and environment",
    ),
    _known(
        r"password authentication failed|access denied for user|401|403|unauthorized|forbidden",
        "the login is wrong, or lacks a right",
        "check that the secret's reference names the right value",
    ),
    _known(
        r"can't lock file|lock-.{0,200}timeout|got timeout.{0,200}lock",
        "another task of Proxmox VE holds the guest",
        "wait for that task, or look at it under the node's tasks",
    ),
    _known(
        r"insufficient (?:cpu|memory)|failedscheduling|unschedulable",
        "no node has room for what it requests",
        "lower requests, or add a node",
    ),
)


class TroubleTakes(Strict):
    error_message: Annotated[str, Field(min_length=1, max_length=65_536)]
    blueprint: Annotated[str, Field(max_length=TEXT_MAX)] = ""


class TroubleGives(Strict):
    probable_causes: tuple[str, ...]
    evidence: tuple[str, ...]
    next_steps: tuple[str, ...]


def troubleshoot_issue(given: TroubleTakes, ground: Ground) -> TroubleGives:
    return examined(given.error_message, loaded(given.blueprint).entries if given.blueprint else ())


def examined(message: str, entries: Sequence[Entry] = ()) -> TroubleGives:
    """What a message probably means; `entries`: the resources it may speak of."""
    found = [(k, m) for k in _TABLE if (m := k.pattern.search(message))]
    evidence = [f"the message says: {visible(m.group())}" for _, m in found]
    evidence += [line for e in entries for line in _evidence(e, message)]
    steps = [step for k, _ in found for step in k.next_steps] or ["read the lines before this one: alma logs RUN"]
    return TroubleGives(
        probable_causes=tuple(k.cause for k, _ in found) or (UNKNOWN,),
        evidence=tuple(evidence[:20]),
        next_steps=tuple(dict.fromkeys(steps)),
    )


def _evidence(entry: Entry, message: str) -> list[str]:
    """What a resource that the message speaks of says about itself."""
    numbers = set(re.findall(r"(?<!\d)\d{2,5}(?!\d)", message))
    said = [f"{entry.name} publishes port {p.published}" for p in ports(entry) if str(p.published) in numbers]
    named = bool(re.search(rf"(?<![\w-]){re.escape(entry.name)}(?![\w-])", message))
    if named and memory_of(entry) is not None:
        said.append(f"{entry.name} has a memory limit of {entry.specs.get('memory', entry.specs.get('mem_limit'))}")
    if named and entry.health is None:
        said.append(f"{entry.name} has no health check")
    return said


TROUBLESHOOT_ISSUE = Tool(
    "troubleshoot_issue",
    "What an error probably means, and what to do next.",
    TroubleTakes,
    TroubleGives,
    troubleshoot_issue,
)
