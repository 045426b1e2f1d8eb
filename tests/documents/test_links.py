"""Whoever reads one page finds the others: links lead somewhere, and the README leads to all."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.documents import ROOT, documents, spans_of

README: Final = ROOT / "README.md"
README_LINES: Final = 200  # what a person reads before deciding
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_FILE: Final = re.compile(r"(?:tests|src|scripts|deploy|docs|bench)/[\w./*-]+")
_HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)
_NOT_IN_ANCHORS: Final = re.compile(r"[^\w\- ]")


def links_of(document: Path) -> list[str]:
    """What it links to, but for other sites."""
    return [link for link in _LINK.findall(document.read_text()) if "://" not in link]


def anchors_of(document: Path) -> set[str]:
    """Its headings, as a link spells them."""
    return {_NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(document.read_text())}


@pytest.mark.parametrize("document", documents(), ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in links_of(document):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


@pytest.mark.parametrize("document", documents(), ids=lambda document: str(document.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(document: Path) -> None:
    named = [span for span in spans_of(document) if _FILE.fullmatch(span)]
    assert [name for name in named if not any(ROOT.glob(name.rstrip("/")))] == []


def test_the_readme_leads_to_every_page() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links_of(README)}
    assert {page.name for page in (ROOT / "docs").glob("*.md") if page not in linked} == set()


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < README_LINES
