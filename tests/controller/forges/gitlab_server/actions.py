"""What GitLab does with a line that begins with `/`: it acts, and the line is not shown."""

from __future__ import annotations

import re

# A few of those that would hurt; names are not case-sensitive. After https://docs.gitlab.com/user/project/quick_actions/
_NAMES = ("approve", "unapprove", "merge", "close", "reopen", "assign", "label", "title", "draft", "target_branch")
_ACTION = re.compile(rf"^/({'|'.join(_NAMES)})(?: ([^\n]*))?(?:\s*\n|$)", re.IGNORECASE | re.MULTILINE)


def acted_on(text: str) -> tuple[str, list[str]]:
    """The text that is left, and the actions in it. Stricter than GitLab: code and quotes do not protect here."""
    plain = text.replace("\r", "")
    found = [match[1].lower() for match in _ACTION.finditer(plain)]
    return (_ACTION.sub("", plain).rstrip() if found else plain), found
