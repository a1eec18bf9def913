"""The worker of one site: takes questions and legs from its queue until it is stopped."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from temporalio.worker import Worker

from controller.runtime.clock import backoff_s
from controller.settings import TemporalSettings
from controller.temporal.connection import ServerAway, connected
from controller.temporal.site_answers import SiteAnswers
from controller.temporal.site_call import SiteCall
from controller.temporal.site_runs import SiteRuns

_log = structlog.get_logger("site")


async def serve_site(where: TemporalSettings, queue: str, answers: SiteAnswers, runs: SiteRuns) -> None:
    """Until it is cancelled. A server that is away is tried again."""
    tries = 0
    while True:
        try:
            client = await connected(where)
            worker = Worker(
                client,
                task_queue=queue,
                workflows=[SiteCall],
                activities=[*answers.all(), *runs.all()],
                sticky_queue_schedule_to_start_timeout=timedelta(seconds=where.heartbeat_timeout),
            )
            _log.info("takes work", queue=queue, address=where.address)
            await worker.run()
        except (ServerAway, RuntimeError) as e:
            _log.warning("Temporal does not answer", address=where.address, reason=str(e)[:200])
        await asyncio.sleep(backoff_s(tries, 0.5, most_s=10.0))
        tries += 1
