"""What every test may use."""

from __future__ import annotations

import hypothesis

# No timing assertions: a busy machine must not fail a property.
hypothesis.settings.register_profile("alma", deadline=None)
hypothesis.settings.load_profile("alma")

pytest_plugins = ["tests.reliability.rows", "tests.scheduling", "tests.servers.fixtures", "tests.servers.selection"]
