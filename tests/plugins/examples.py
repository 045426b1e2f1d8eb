"""`EXAMPLES=5000 scripts/test tests/proof` looks longer: so many examples of each test under `@given`, and others each time.

What a test itself says of their number, of the same ones in each run and of health checks does not count then. Longer than our
limit for one test takes `-o faulthandler_timeout=0` as well. Without `EXAMPLES` nothing happens here.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import is_hypothesis_test as is_property


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Changes the settings of what was collected. Hypothesis refuses to decorate twice, so its own attribute is set."""
    if "EXAMPLES" not in os.environ:
        return
    for function in {item.function for item in items if isinstance(item, pytest.Function) and is_property(item.function)}:
        function._hypothesis_internal_use_settings = settings(
            function._hypothesis_internal_use_settings,
            max_examples=int(os.environ["EXAMPLES"]),
            derandomize=False,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
