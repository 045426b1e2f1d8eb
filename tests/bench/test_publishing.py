"""What `scripts/bench --publish` writes: numbers, and a picture that any viewer of SVG draws."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from bench.picture import picture
from bench.publishing import publish
from bench.report import Answer, Row

SVG = "{http://www.w3.org/2000/svg}"
OURS = Row("mount + read", "s", [1.0, 2.0, 4.0])
THEIRS = Row("oras <pull> + read", "s", [8.0, 8.0, 8.0], OURS, least_ratio=1.0, theirs=True)
ANSWER = Answer(
    "cold", "how long", [OURS, Row("  of which mount", "s", [0.5]), THEIRS, OURS, Row("requests", "", [3.0])], ["mind the load"]
)
MACHINE = {"date": "2026-11-25", "machine": "2 × CPU", "versions": "mkfs 1", "load": "0.1"}


def drawn() -> ET.Element:
    return ET.fromstring(picture(ANSWER, ["here and now"]))


def bars() -> list[tuple[str, float, str]]:
    """Name, length and colour of each bar, without the paper and the legend."""
    names = [text.text for text in drawn().iter(f"{SVG}text") if text.get("text-anchor") == "end"]
    rects = [rect for rect in drawn().iter(f"{SVG}rect") if rect.get("height") == "14"]
    return [(name or "", float(rect.attrib["width"]), rect.attrib["fill"]) for name, rect in zip(names, rects, strict=True)]


def test_a_bar_is_as_long_as_its_median_beside_the_longest_of_its_unit() -> None:
    lengths = {name: length for name, length, _ in bars()}
    assert lengths["mount + read"] * 4 == lengths["oras <pull> + read"] == lengths["requests"]


def test_details_and_repetitions_are_left_out() -> None:
    assert [name for name, _, _ in bars()] == ["mount + read", "oras <pull> + read", "requests"]


def test_what_others_did_has_another_colour() -> None:
    ours, theirs, count = (colour for _, _, colour in bars())
    assert ours == count != theirs


def test_a_whisker_goes_from_the_least_to_the_most_where_they_differ() -> None:
    (whisker,) = (path.attrib["d"] for path in drawn().iter(f"{SVG}path"))
    start, stop = whisker.split("M")[1].split(" ")[0], whisker.split("H")[1].split("M")[0]
    scale = bars()[1][1] / 8.0
    assert float(stop) - float(start) == 3.0 * scale


def test_numbers_and_picture_are_named_after_their_question_and_say_where_and_when(tmp_path: Path) -> None:
    publish(ANSWER, {"rounds": 3, "steady": False}, MACHINE, tmp_path / "docs")
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"cold.json", "cold.svg"}
    document = json.loads((tmp_path / "docs" / "cold.json").read_text())
    assert document == {"question": "cold", "machine": MACHINE, "rounds": 3, "steady": False, **ANSWER.as_json()}
    words = [text.text for text in ET.parse(tmp_path / "docs" / "cold.svg").iter(f"{SVG}text")]
    assert "2026-11-25 · 2 × CPU · mkfs 1 · rounds 3" in words
