"""Everything that is ever asked of a forge, once."""

from __future__ import annotations

from controller.forges.forge import Account, Forge, Reaction, Status, StatusState
from controller.forges.set_up import SetsUp
from controller.review.statuses import BEFORE_MERGE
from tests.controller.forges.fake_repository import FakeRepository


async def every_deed(forge: Forge, server: FakeRepository) -> None:
    """On a pull request of a person and one of ours."""
    number = server.add_pull(f"ipr/deed-{len(server.pulls)}")
    head = server.branches[server.pulls[number].head]
    await forge.about()
    await forge.pulls()
    for account in (Account("2", "ada"), Account("3", "renamed")):
        await forge.standing(account)
    said = server.say(number, 3, "/alma plan")
    comment = next(c for c in await forge.comments(number) if c.id == str(said))
    await forge.react(number, comment, Reaction.EYES)
    await forge.reply(number, "alma:answer", "an answer", comment)
    ours = await forge.write_comment(number, "alma:x", "one")
    server.say(number, 1, "<!-- alma:x -->\na twin of it")
    await forge.write_comment(number, "alma:x", "two")
    await forge.write_comment(number, "alma:x", "three", ours)
    await forge.write_status(head, Status("alma/plan", StatusState.SUCCESS, "ok", "https://alma.example/1"))
    await forge.approve(number, head, "fine")
    await forge.approvals(number)
    await forge.merge(number, head)
    await forge.pull(number)
    server.push("alma/revert")
    revert = await forge.open_pull("alma/revert", "Revert", "It failed.")
    await forge.close_pull(revert.number)
    assert isinstance(forge, SetsUp)
    for renew in (False, False, True):
        await forge.ensure_webhook("https://alma.example/webhooks/infra", renew=renew)
    for _ in range(2):
        await forge.protect_branch(BEFORE_MERGE)
