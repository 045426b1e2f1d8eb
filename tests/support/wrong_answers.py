"""What a registry may answer to a ranged request for `little_model`'s blob that is no answer, and the words for it."""

from typing import Final

from mkfs.ranges import ByteRange
from mkfs.testing import faults
from tests.support.little_model import DATA

WANTED: Final = ByteRange(1000, 70_000)
_ASKED: Final = "expected bytes 1000-69999/204800"

# fmt: off
WRONG_ANSWERS: Final[list[tuple[list[faults.Action], str]]] = [
    ([faults.WrongContentRange()], _ASKED),
    ([faults.WrongContentRange("bytes 1000-69998/204800")], _ASKED),
    ([faults.WrongContentRange("bytes 1000-69999/204801")], _ASKED),
    ([faults.WrongContentRange("bytes 0-204799/204800")], _ASKED),
    ([faults.WrongContentRange("1001-69999/204800")], _ASKED),
    ([faults.MissingContentRange()], "no Content-Range"),
    ([faults.Encoded()], "came encoded .gzip."),
    ([faults.IgnoreRange(), faults.Encoded()], "came encoded .gzip."),
    ([faults.Html200()], "a web page came instead of the blob"),
    ([faults.Status(200, {"Content-Type": "application/octet-stream"}, b"short")], "got 5 bytes, expected 204800"),
    ([faults.Status(200, body=DATA[WANTED.start : WANTED.stop])], "got 69000 bytes, expected 204800"),
    ([faults.ShortBody(5000)], "the connection broke before the answer was complete"),
    ([faults.ShortBody(5000), faults.NoContentLength()], "ended 64000 bytes early .expected 69000"),
    ([faults.LongBody(10)], "got 69010 bytes, expected 69000"),
    ([faults.LongBody(10), faults.NoContentLength()], "longer than promised .expected 69000"),
    ([faults.Reset(5000)], "the connection broke before the answer was complete"),
    ([faults.Stall(5000)], "no byte for 30 s"),
    ([faults.Withhold()], "no byte for 25 s"),
    ([faults.Status(416, {"Content-Range": "bytes */17"})], "no such range of .*it holds 17 bytes there .*416"),
    ([faults.Status(416)], "no such range of .*416"),
    ([faults.Status(204)], "does not answer"),
    ([faults.Status(502)], "cannot answer for .*502"),
    ([faults.Status(429, {"Retry-After": "1"})], "too many requests, again after 1 s"),
]
# fmt: on
