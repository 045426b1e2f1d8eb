"""A report in words: a person sees everything, and nobody's name moves the cursor."""

import msgspec

from mkfs.cli.status_text import full, reference_of, summary, table
from mkfs.content.last_errors import LastError
from mkfs.oci.digest import Digest
from mkfs.service.status import report_of
from mkfs.service.targets import TagState
from mkfs.service.views import State, View
from tests.service.seen import AT, layer, seen

VIEW = View(
    "/mnt/llama", "x@sha256:0", State.MOUNTED, 77, report=report_of(seen(layer("model w"), layer("d\x07ocs", complete=True)))
)
DEAD = View("/mnt/\x1bdead", "registry.test/a:1@sha256:0", State.DEAD)


def test_a_person_reads_who_waits_for_what_and_what_it_cost() -> None:
    text = "\n".join(full(VIEW))
    for words in (
        "/mnt/llama, mounted",
        "pid 77",
        "not warm, not proven, verify strict",
        "30 answered at once, 4 waited: p50 1.0 s, p90 2.0 s, p99 3.0 s, at most 3.0 s; 1 failed",
        "8.0 MiB, 100 B/s, 2.00 times what was wanted",
        "readable after 300.0 ms; 4.0 MiB wanted, 4.0 MiB guessed, of which 2.0 MiB were never read",
        "/c: 5.0 MiB of 1.0 GiB, 50.0 GiB free on its disk, 2 evicted",
        "aside: mirror.test",
        "tag 7b moved to sha256:",
        "chosen from index sha256:",
        "for chunks of model w: 100 B of 1.0 MiB from storage.test",
        "for another process of this node, which fetches model w",
        "5.0 s ago, 3 times, 1 reads failed: no answer (model w, registry.test)",
        "1.0 MiB guessed in vain",
        "max_background 512, read_ahead 1.0 MiB",
    ):
        assert words in text, words


def test_what_an_error_says_of_its_place_is_said_once() -> None:
    where = "model w, from registry.test"
    error = LastError("Mismatch", "does not match", where, "model w", "registry.test", AT - 50, AT - 5, 1, 1)
    other = LastError("Mismatch", "too long", "from registry.test:5000", "model", "registry.test", AT - 50, AT - 5, 1, 1)
    text = "\n".join(full(View("/m", "r", State.MOUNTED, 77, report=report_of(seen(layer("w"), errors=(error, other))))))
    assert "does not match (model w, from registry.test)\n" in text
    assert text.endswith("too long (model, registry.test, from registry.test:5000)")


def test_names_are_shown_so_that_no_terminal_obeys_them() -> None:
    for text in ("\n".join(full(VIEW)), "\n".join(table([VIEW, DEAD])), summary(DEAD), reference_of(DEAD)):
        assert all(character.isprintable() or character == "\n" for character in text)
    assert "w\\x1b[2Jeights\\n\\u202e.bin [0, 100)" in "\n".join(full(VIEW))


def test_the_table_has_a_line_for_each_mount_dead_or_alive() -> None:
    titles, alive, dead = table([VIEW, DEAD])
    assert titles.split()[:2] == ["DIRECTORY", "STATE"]
    assert alive.split() == ["/mnt/llama", "mounted", "70", "%", "8.0", "MiB", "8.0", "MiB", "1", "registry.test/team/llama:7b"]
    assert dead.split() == ["/mnt/\\x1bdead", "dead", "-", "-", "-", "-", "registry.test/a:1@sha256:0"]


def test_what_is_cached_of_a_layer_that_artifacts_share_counts_once() -> None:
    weights, docs = layer("w"), layer("docs", complete=True)
    one = seen(weights, docs)
    other = msgspec.structs.replace(one.artifacts[0], layers=(docs,))
    both = View(
        "/mnt/all", "x", State.MOUNTED, 77, report=report_of(msgspec.structs.replace(one, artifacts=(*one.artifacts, other)))
    )
    assert "70 % cached" in summary(both)


def test_a_repository_shows_its_tags_and_goes_by_its_own_name() -> None:
    tags = (TagState("7b", Digest.of(b"a")), TagState("new\n", None, Digest.of(b"b"), "nobody signed it"))
    view = View("/mnt/all", "registry.test/team/llama", State.MOUNTED, 77, report=report_of(seen(layer("w"), tags=tags)))
    text = "\n".join(full(view))
    assert f"7b → {Digest.of(b'a')}\n" in text
    assert f"new\\n → nothing; refused: {Digest.of(b'b')}, nobody signed it" in text
    assert reference_of(view) == "registry.test/team/llama"


def test_where_nothing_is_mounted_it_says_so() -> None:
    assert list(table([])) == ["nothing is mounted"]


def test_one_line_is_enough_for_who_looks_again_and_again() -> None:
    assert summary(VIEW) == "/mnt/llama: 70 % cached, 200 B/s to readers, 100 B/s from the registry, 1 reads wait"
    stuck = View("/mnt/x", "s", State.STUCK, 5, "it sleeps")
    assert list(full(stuck)) == [summary(stuck)] == ["/mnt/x: not answering (it sleeps)"]


def test_a_layer_without_bytes_is_all_here() -> None:
    empty = report_of(seen())
    assert "100 %" in summary(View("/m", "s", State.MOUNTED, 1, report=empty))
