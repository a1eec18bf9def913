"""What puts a step's prior state back. Pure.

An update is undone by applying our previous own fields again: what was ours gets its value back, what was not is given
up and falls to its default; what somebody else had set gets that value back from us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.blueprint.value import Value
from controller.plan.step import Expect, Phase, Prior, Receipt, Step
from engines.kubernetes.steps import Call, Propagation, deletion


def inverse(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """None after a RETIRE: it comes when everything is verified."""
    if step.phase is Phase.RETIRE:
        return ()
    call = Call(str(step.request["call"]))
    if call is Call.APPLY and prior.uid is None:
        return (_unmade(step, receipt),)
    if call is Call.UNMARK:
        return (
            Step(
                Phase.CUT, step.key, Expect(uid=prior.uid), {**step.request, **_mark(prior), "call": Call.REMARK.value}
            ),
        )
    if call is Call.DELETE:
        return (replace(_applied(step, prior), expects=Expect(absent=True)),)
    if not prior.state.get("mark"):
        # It was nobody's before: our fields are given up, then the mark is taken off.
        return _applied(step, prior), Step(Phase.CUT, step.key, Expect(uid=prior.uid), _unmark(step))
    return (_applied(step, prior),)


def _unmade(step: Step, receipt: Receipt) -> Step:
    """An answer that was lost names no uid: then the op on the object tells whether it is the one."""
    gone = deletion(step.key, str(step.request["resource"]), Expect(uid=receipt.uid), Phase.CUT, Propagation.BACKGROUND)
    return gone if receipt.uid else replace(gone, request={**gone.request, "made_by": receipt.op})


def _applied(step: Step, prior: Prior) -> Step:
    request: dict[str, Value] = {
        "call": Call.APPLY.value,
        "resource": step.request["resource"],
        "body": prior.state["body"],
        **_mark(prior),
    }
    return Step(Phase.CUT, step.key, Expect(uid=prior.uid), request)


def _mark(prior: Prior) -> Mapping[str, Value]:
    mark = prior.state.get("mark")
    return mark if isinstance(mark, Mapping) else {}


def _unmark(step: Step) -> Mapping[str, Value]:
    return {"call": Call.UNMARK.value, "resource": step.request["resource"]}
