"""The rules of the audit. A rule is one function in one of these files, listed at its end; `RULES` is all of them."""

from controller.review.rules import changes, exposure, isolation, reliability, waivers
from controller.review.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    *isolation.RULES,
    *exposure.RULES,
    *reliability.RULES,
    *changes.RULES,
    *waivers.RULES,
)
