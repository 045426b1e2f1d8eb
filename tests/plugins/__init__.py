"""Plugins for pytest, one duty each. Tested by their neighbours `test_*.py`."""
