"""For all tests: nothing of the caller's shell decides what they see."""

from __future__ import annotations

import os

from hypothesis import settings

for name in [name for name in os.environ if name.startswith(("CACHEFLEET_", "AWS_"))]:
    del os.environ[name]

# Examples share the machine with engines: how long one takes says nothing.
settings.register_profile("cachefleet", deadline=None, print_blob=True)
settings.load_profile("cachefleet")
