"""What every test runs under. Each plugin says in its first lines what it does to a test."""

pytest_plugins = [
    "pytester",
    "tests.plugins.faults",
    "tests.plugins.leaks",
    "tests.plugins.logs",
    "tests.plugins.mounts",
    "tests.plugins.needs",
    "tests.plugins.readers",
    "tests.plugins.trio_tests",
]
