"""The rules of the audit. A rule is one function in one of these files; `RULES` is all of them."""

from controller.review.rules.rule import Rule

RULES: tuple[Rule, ...] = ()
