"""What a controller and the worker of a site say to each other arrives as it was, is sealed, and is refused in words
where it cannot be understood."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from controller.blueprint.value import Secret
from controller.plan.resource import Allow
from controller.plan.step import Sealed
from controller.runtime.secret_values import InstallSecrets
from controller.seal import Key
from controller.secret_store import SecretStore
from controller.temporal.site_answers import SiteAnswers
from controller.temporal.site_call import NOT_UNDERSTOOD, OTHER_KEY
from controller.temporal.site_words import (
    About,
    Asked,
    NotUnderstood,
    Observe,
    Preview,
    Question,
    Sweep,
    answer_said,
    effects_heard,
    info_heard,
    question_heard,
    question_said,
    snapshot_heard,
)
from engines.engine import Ask, Conflict, EngineError, Refused, Transient, Unclear
from tests.controller.runtime.running import KEY, a_stage
from tests.engines.conformance import INSTALL, SCOPE, Stage, entry

SECRET = {"image": "web:1", "memory": "1GB", "env": {"PASSWORD": Secret("env:APP_PASSWORD")}}
SHOP = (entry("db", "database", specs={"image": "pg:15", "storage": "1GB"}), entry("web", "container", specs=SECRET))
NAME = "queue/question"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return a_stage(tmp_path)


@pytest.fixture
async def answers(stage: Stage) -> AsyncIterator[SiteAnswers]:
    async def allow(scope: str) -> Allow:
        return Allow(("one",), ("env:APP_*",))

    store = SecretStore({"APP_PASSWORD": "hunter2"})
    yield SiteAnswers(
        site="west",
        install=INSTALL,
        version="0.1.0",
        key=KEY,
        engines={"one": stage.engine},
        engine_of={"one": "simulation"},
        secrets=InstallSecrets(store, KEY.mask),
        allow_of=allow,
        on_defect=lambda target: None,
    )


async def asked(
    answers: SiteAnswers, question: Question, target: str = "one", key: Key = KEY, name: str = NAME
) -> bytes:
    """The worker's answer to a controller of this install with `key`, opened."""
    said = question_said(Asked(INSTALL, target, "simulation", "0.1.0", question))
    return await answered(answers, key.seal(name, said).blob)


async def answered(answers: SiteAnswers, sealed: str) -> bytes:
    environment = ActivityEnvironment()
    environment.info = replace(ActivityEnvironment.default_info(), workflow_id=NAME)
    blob = await environment.run(answers.answer, sealed)
    return KEY.sealer(f"{NAME}/answer").open(Sealed(blob))


async def test_questions_and_answers_arrive_as_they_were(stage: Stage, answers: SiteAnswers) -> None:
    wanted = stage.wanted(SHOP)
    await stage.bring(SHOP[:1])
    ask = Ask(
        INSTALL, frozenset({SCOPE}), frozenset(d.key for d in wanted), frozenset(c for d in wanted for c in d.claims)
    )
    seen = await stage.engine.observe(ask)
    for question in (About(), Observe(ask), Preview(wanted, seen, SCOPE), Sweep(seen, SCOPE)):
        said = Asked(INSTALL, "one", "simulation", "0.1.0", question)
        assert question_heard(question_said(said), "0.1.0") == said
    assert info_heard(await asked(answers, About())) == await stage.engine.about()
    assert snapshot_heard(await asked(answers, Observe(ask))) == seen
    assert effects_heard(await asked(answers, Sweep(seen, SCOPE))) == await stage.engine.sweep(seen, SCOPE)
    effects = effects_heard(await asked(answers, Preview(wanted, seen, SCOPE)))
    assert [e.steps != () for e in effects] == [e.steps != () for e in await stage.effects(SHOP)]


async def test_a_secret_is_compared_by_the_value_at_the_site(stage: Stage, answers: SiteAnswers) -> None:
    """The controller has none, or another one."""
    seen = await stage.look(stage.wanted(SHOP))
    effects = effects_heard(await asked(answers, Preview(stage.wanted(SHOP), seen, SCOPE)))
    assert str(KEY.mask("hunter2").keyed_hash) in str([e.steps for e in effects])
    assert "hunter2" not in str(effects)


async def test_a_secret_in_a_file_of_the_repository_is_refused_with_what_to_do(
    stage: Stage, answers: SiteAnswers
) -> None:
    """The worker reads no repository."""
    specs = {**SECRET, "env": {"PASSWORD": Secret("sops:prod/secrets.yaml#password", blob="b" * 40)}}
    wanted = stage.wanted((entry("web", "container", specs=specs),))
    seen = await stage.look(wanted)
    with pytest.raises(Refused, match=r"sops:prod/secrets.yaml#password.*site west reads no repository; use env: or"):
        effects_heard(await asked(answers, Preview(wanted, seen, SCOPE)))


@pytest.mark.parametrize("error", [Transient("busy", 3.0), Conflict("moved"), Refused("no"), Unclear("lost")])
def test_an_error_of_an_engine_is_raised_again(error: EngineError) -> None:
    with pytest.raises(type(error), match=str(error)) as caught:
        effects_heard(answer_said(error))
    assert getattr(caught.value, "retry_after_s", None) == getattr(error, "retry_after_s", None)


def test_a_question_of_another_version_is_refused_with_both_versions() -> None:
    said = orjson.loads(zlib.decompress(question_said(Asked(INSTALL, "one", "simulation", "9.0.0", About()))))
    for other in ({**said, "spoken": 2}, {**said, "ask": "levitate"}):
        with pytest.raises(NotUnderstood, match=r"the worker is alma 0\.1\.0.*understand alma 9\.0\.0"):
            question_heard(zlib.compress(orjson.dumps(other)), "0.1.0")


async def test_who_has_another_key_or_takes_a_question_for_another_is_not_answered(answers: SiteAnswers) -> None:
    with pytest.raises(ApplicationError, match="another key_file") as caught:
        await asked(answers, About(), key=Key.of(b"o" * 32))
    assert caught.value.type == OTHER_KEY and caught.value.non_retryable
    with pytest.raises(ApplicationError):
        await asked(answers, About(), name="queue/another")
    said = KEY.seal(NAME, zlib.compress(orjson.dumps({"spoken": 2, "ask": "about", "version": "9.0.0"}))).blob
    with pytest.raises(ApplicationError, match=r"9\.0\.0") as caught:
        await answered(answers, said)
    assert caught.value.type == NOT_UNDERSTOOD


async def test_a_target_that_is_not_of_this_site_is_refused_with_those_that_are(answers: SiteAnswers) -> None:
    with pytest.raises(Refused, match=r"site west has no simulation target two; it has one \(simulation\)"):
        info_heard(await asked(answers, About(), target="two"))
