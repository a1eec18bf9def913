"""A question to the worker of a site, as a short workflow on its queue. Question and answer are sealed with the
install's key, so what the server keeps of them can be read by nobody who has not got it.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

CALL, ANSWER = "alma-site-call", "answer"
ANSWER_S = 120.0  # an engine bounds its calls below this
OTHER_KEY, NOT_UNDERSTOOD = "OtherKey", "NotUnderstood"  # types of errors that leave no sealed answer


@workflow.defn(name=CALL, sandboxed=False)  # outside the sandbox for the reason of RunWorkflow
class SiteCall:
    """Asked once: who asked asks again if it wants to."""

    @workflow.run
    async def run(self, sealed: str) -> str:
        """The sealed answer to a sealed question."""
        answer: str = await workflow.execute_activity(
            ANSWER,
            sealed,
            result_type=str,
            start_to_close_timeout=timedelta(seconds=ANSWER_S),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
        return answer
