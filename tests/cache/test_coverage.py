"""Coverage against a set of bytes: what is in, and what came twice."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.cache.coverage import Coverage
from mkfs.ranges import ByteRange

ranges = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: ByteRange(pair[0], sum(pair)))


@given(st.lists(ranges, max_size=12), ranges)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_it_knows_every_byte_and_every_byte_that_came_twice(added: list[ByteRange], asked: ByteRange) -> None:
    coverage, known = Coverage(), set()
    for new in added:
        fresh = set(range(new.start, new.stop))
        assert coverage.add(new) == bool(known & fresh)
        known |= fresh
    assert coverage.covers(asked) == (set(range(asked.start, asked.stop)) <= known)
    assert all(coverage.covers(new) for new in added)
