"""What settings are made of: strict models, and the forms of names, durations and secret references."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from controller.blueprint.names import checked_name
from controller.blueprint.units import duration_s

SECRET = re.compile(r"(env|file):.+")  # of the server configuration
PATTERN = re.compile(r"(env|file|sops):.+")  # of what a repository may use

Name = Annotated[str, BeforeValidator(lambda v: checked_name(v) if isinstance(v, str) else v)]
Seconds = Annotated[int, BeforeValidator(duration_s)]
SecretRef = Annotated[str, Field(pattern=SECRET.pattern)]


class Strict(BaseModel):
    """No type is guessed, no key is unknown, nothing changes later."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
