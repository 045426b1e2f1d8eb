"""Fixtures of the tests of what documents promise: those of the system tests."""

from tests.system.conftest import registry, server, shell

__all__ = ["registry", "server", "shell"]  # fixtures are found by their names here
