"""Where a list goes on, as registries write it."""

import pytest

from mkfs.oci.links import next_link


@pytest.mark.parametrize(
    ("values", "target"),
    [
        (['</v2/a/tags/list?n=2&last=b>; rel="next"'], "/v2/a/tags/list?n=2&last=b"),
        (["</a>;rel=next"], "/a"),
        (["</a>; rel=NEXT ; title=x"], "/a"),
        (['</a>; title="x, y; rel=\\"z\\""; rel="next"'], "/a"),
        (['</first>; rel="first", </b>; rel="prev next"'], "/b"),
        (["</first>; rel=first", "</b>; rel=next"], "/b"),
        (["</a,b>; rel=next"], "/a,b"),
        (["</a>; rel=next; rel=last"], "/a"),
        (["</a>; rel; rel=next"], "/a"),
        (["< https://registry.test/b >; rel=next"], "https://registry.test/b"),
        (["</a>"], ""),
        (["</a>; rel=last"], ""),
        (['</a>; relation="next"'], ""),
        (["/a; rel=next"], ""),
        (["<"], ""),
        ([""], ""),
        ([], ""),
    ],
)
def test_the_next_page_is_found(values: list[str], target: str) -> None:
    assert next_link(values) == target


def test_a_header_made_to_be_slow_is_read_at_once() -> None:
    assert next_link(["</a>" + '; x="' * 50_000]) == ""
    assert next_link(["</a>; " * 50_000]) == ""


def test_a_list_of_several_ends_where_the_header_ends() -> None:
    assert next_link(["</a>; rel=first, </b>; rel=last"]) == ""
