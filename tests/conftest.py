"""What every test runs under. Each plugin says in its first lines what it does to a test."""

import os

from hypothesis import HealthCheck, settings

# No test judges a machine by its clock. scripts/mutate runs each test thousands of times, and wants the same examples each time.
settings.register_profile("mkfs", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mutation", settings.get_profile("mkfs"), max_examples=25, derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "mkfs"))

pytest_plugins = [
    "pytester",
    "tests.plugins.examples",
    "tests.plugins.faults",
    "tests.plugins.leaks",
    "tests.plugins.logs",
    "tests.plugins.mounts",
    "tests.plugins.needs",
    "tests.plugins.readers",
    "tests.plugins.signals",
    "tests.plugins.trio_tests",
]
