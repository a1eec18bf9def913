"""The story of the demonstration, chapter by chapter. Each chapter does something, waits until it is seen, looks past
the controller at what is live, and tells only what held."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from controller.cli.scenery import Scenery
from controller.cli.stage import Stage, StoryFailed
from controller.cli.teller import Teller

Json = Any
_DIFF_COLOURS = {"+": "green", "-": "red", "!": "yellow"}
_ENDED = ("done", "undone", "parked", "superseded", "cancelled")


@dataclass(slots=True)
class Story:
    """Five chapters on one stage."""

    stage: Stage
    scenery: Scenery
    teller: Teller
    seen_runs: set[str] = field(default_factory=set)

    async def tell(self) -> None:
        """All of it. Raises StoryFailed at the first thing that does not come out as told."""
        chapters: Sequence[tuple[str, Callable[[], Awaitable[None]]]] = (
            ("A repository, and its first deploy", self._first_deploy),
            ("A pull request is answered with what it would change", self._pull_request),
            ("Merging deploys", self._merge),
            ("A change that breaks is undone, and held", self._broken_merge),
            ("What drifts heals", self._drift),
        )
        for number, (heading, chapter) in enumerate(chapters, 1):
            self.teller.step(number, len(chapters), heading)
            await chapter()
            self.teller.step_over()

    # --- the chapters ---

    async def _first_deploy(self) -> None:
        stage, teller = self.stage, self.teller
        teller.say("One Git repository describes what is to run; the controller watches it.")
        teller.command("alma serve")
        with teller.waiting("the first deploy"):
            run = await self._run_of(stage.head)
            await self._synced(stage.head)
        self._must(run["word"] == "done", f"the first run is {run['word']}: {run['reason']}")
        self._show_run(run)
        await self._live_is("first")
        teller.checked(f"every resource of {stage.head[:10]} is there and healthy; {await self.scenery.live()}")

    async def _pull_request(self) -> None:
        teller = self.teller
        pull = await self._propose("better", "better-web", "The shop in its next version")
        self._show_comment(pull)
        head = self.stage.ask("ipr.list")["iprs"][0]
        self._must(head["state"] == "open", "the pull request is open")
        await self._live_is("first")
        teller.checked("the comment names the change and how disruptive it is; nothing has changed yet")

    async def _merge(self) -> None:
        stage, teller = self.stage, self.teller
        run = await self._merged(1)
        with teller.waiting("synced and healthy"):
            await self._synced(run["revision"])
        self._must(run["word"] == "done", f"the run is {run['word']}: {run['reason']}")
        self._show_run(run)
        await self._live_is("better")
        teller.checked(f"what runs is what was reviewed: {await self.scenery.live()}")
        with teller.waiting("the last word on the pull request"):
            await stage.until("the comment of #1 is final", lambda: stage.ask("ipr.show", number=1)["final"] or None)
        teller.checked("the same comment now tells how the deploy went")

    async def _broken_merge(self) -> None:
        teller, stage = self.teller, self.stage
        pull = await self._propose("broken", "faster-web", "A faster shop")
        self._show_comment(pull)
        self._must(pull["state"] == "open", "the second pull request is open")
        before = await self.scenery.identity()
        teller.say("It looks harmless, so it is merged. What it starts never gets healthy.")
        run = await self._merged(int(pull["number"]))
        self._show_run(run)
        self._must(run["word"] == "undone", f"the run is {run['word']}, not undone: {run['reason']}")
        await self._live_is("better")
        teller.checked(f"undone, both changes of it: {await self.scenery.live()}")
        self._must(await self.scenery.identity() == before, "what runs after the undo is not what ran before")
        teller.checked(f"web is the one from before ({before[:12]}), not a copy of it")
        scope = self._scope()
        self._must(scope["quarantined"] == 1, "what failed is quarantined")
        teller.checked("what failed is quarantined: it is not tried again until its content changes")
        with teller.waiting("the revert pull request"):
            revert = await stage.until("a revert pull request is open", self._revert)
        teller.checked(f"#{revert['number']} is open: {revert['title']}")

    async def _drift(self) -> None:
        teller, stage = self.teller, self.stage
        teller.say("The bad change is still on the branch. Healing goes on against the last good state.")
        done = await self.scenery.by_hand()
        teller.command(done.typed)
        self._must_be(done.live, "by hand")
        with teller.waiting("drift is noticed and healed"):
            run = await stage.until("the drift is healed", lambda: self._ended_heal())
        self._must(run["word"] == "done", f"the heal is {run['word']}: {run['reason']}")
        self._show_run(run)
        await self._live_is("better")
        teller.checked(f"healed, and nobody was asked: {await self.scenery.live()}")

    # --- what they are made of ---

    async def _propose(self, version: str, name: str, title: str) -> Json:
        """Push a branch; the pull request once it is answered."""
        stage, teller = self.stage, self.teller
        branch = f"ipr/{name}"
        commit = await stage.commit(branch, self.scenery.versions[version], title)
        teller.command(f"git push origin {branch}")

        def answered() -> Json | None:
            found = [p for p in stage.ask("ipr.list")["iprs"] if p["head"] == branch and p["head_sha"] == commit]
            told = stage.ask("ipr.show", number=found[0]["number"]) if found else None
            return told if told and told["comment"] else None

        with teller.waiting("the review"):
            return await stage.until(f"{branch} is reviewed", answered)

    async def _merged(self, number: int) -> Json:
        """Merge a pull request; its run once it has ended."""
        self.teller.command(f"alma ipr merge {number}")
        self.stage.ask("ipr.merge", number=number)
        with self.teller.waiting("the run"):
            return await self.stage.until(
                f"the run of #{number} ends",
                lambda: next((r for r in self._new_runs() if number in r["pulls"] and r["word"] in _ENDED), None),
            )

    async def _run_of(self, revision: str) -> Json:
        return await self.stage.until(
            f"a run to {revision[:10]} ends",
            lambda: next((r for r in self._new_runs() if r["revision"] == revision and r["word"] in _ENDED), None),
        )

    def _new_runs(self) -> list[Json]:
        return [
            r for r in self.stage.ask("history", scope=self.scenery.scope)["runs"] if r["run"] not in self.seen_runs
        ]

    def _ended_heal(self) -> Json | None:
        return next((r for r in self._new_runs() if r["heal"] and r["word"] in _ENDED), None)

    def _scope(self) -> Json:
        scopes = self.stage.ask("status")["scopes"]
        return next(s for s in scopes if s["scope"] == self.scenery.scope)

    async def _synced(self, revision: str) -> None:
        def look() -> bool | None:
            s = self._scope()
            return (s["sync"], s["health"], s["revision"]) == ("synced", "healthy", revision) or None

        await self.stage.until(f"{self.scenery.scope} is synced and healthy at {revision[:10]}", look)

    def _revert(self) -> Json | None:
        pulls = self.stage.ask("ipr.list")["iprs"]
        return next((p for p in pulls if p["head"].startswith("ipr/revert-") and p["state"] == "open"), None)

    async def _live_is(self, version: str) -> None:
        """Read past the controller: the platform itself says so."""
        self._must_be(await self.scenery.live(), version)

    def _must_be(self, live: str, version: str) -> None:
        wanted = self.scenery.says[version]
        self._must(live == wanted, f"live is {live!r}, not {wanted!r}")

    def _must(self, holds: bool, text: str) -> None:
        if not holds:
            raise StoryFailed(f"the demonstration failed: {text}")

    def _show_run(self, run: Json) -> None:
        self.seen_runs.add(run["run"])
        lines: list[str | Text] = []
        for c in run["changes"]:
            good = c["result"] in ("done", "verified")
            sign, colour = ("✓", "green") if good else ("↺", "magenta") if c["result"] == "undone" else ("✗", "red")
            took = f"{c['seconds']:.1f} s" if c["seconds"] is not None else ""
            words = f"{c['resource']:<18} {c['action']:<8} {c['disruption']:<9} {c['result']:<8} {took:>6}"
            lines.append(Text.assemble((f"{sign} ", colour), words))
        if run["reason"]:
            lines.append(Text(f"because {run['reason']}", "red"))
        self.teller.show(f"run {run['run']}: {run['word']}", lines)

    def _show_comment(self, pull: Json) -> None:
        """The comment's verdict and its diff; all of it is `alma ipr show N`."""
        lines = pull["comment"].splitlines()
        verdict = next((line.removeprefix("### ") for line in lines if line.startswith("### ")), "")
        inside = False
        shown: list[str | Text] = [Text(verdict, "bold"), ""]
        for line in lines:
            if line.startswith("```"):
                inside = line == "```diff"
            elif inside:
                shown.append(Text(line, _DIFF_COLOURS.get(line[:1], "")))
        self.teller.show(f"alma ipr show {pull['number']}   (the comment's verdict and its diff)", shown)
