"""PURE: text that GitLab takes for text. A line that begins with `/` is a quick action there, in a note and in the
description of a merge request, and acts with the rights of who wrote it (I44).

Source: lib/gitlab/quick_actions/extractor.rb of GitLab: it drops carriage returns, then looks where each line begins.
"""

from __future__ import annotations

import re

# Blanks before it do not hide it for us; every end of a line that some parser knows begins another.
_ACTION = re.compile(r"(^|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])([\s>\ufeff\u200b]*)/")


def without_quick_actions(text: str) -> str:
    """The same to read: Markdown shows `\\/` as a slash."""
    return _ACTION.sub(r"\1\2\\/", text)
