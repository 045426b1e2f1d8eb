"""The tests of mkfs. Directories mirror the rooms of `src/mkfs`; `tests.plugins` is what they run under."""
