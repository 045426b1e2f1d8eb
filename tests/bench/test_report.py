"""The tables of `scripts/bench`: medians, ratios turn by turn, and whether a goal is met."""

from bench.report import Answer, Goal, Row, Table

THEIRS = Row("theirs", "s", [1.0, 2.0, 4.0], theirs=True)
OURS = Row("ours", "s", [1.5, 2.0, 8.0], THEIRS, limit=2.5, ratio_limit=1.4)


def test_a_ratio_is_taken_within_each_turn() -> None:
    assert OURS.ratios == [1.5, 1.0, 2.0]  # not of the medians, which are equal


def test_a_goal_is_judged_by_the_median() -> None:
    assert OURS.goals == [Goal("≤ 2.5", met=True), Goal("≤ 1.4 ×", met=False)]
    assert THEIRS.goals == []


def test_a_goal_may_be_a_lowest_median() -> None:
    row = Row("ours", "%", [1.5, 2.0, 8.0], THEIRS, least=2.5, least_ratio=1.4)
    assert row.goals == [Goal("≥ 2.5", met=False), Goal("≥ 1.4 ×", met=True)]


def test_the_table_says_medians_extremes_ratios_and_goals() -> None:
    lines = Answer("cold", "which is faster", [OURS, THEIRS], ["mind the load"]).text().splitlines()
    assert lines[0] == "== cold: which is faster"
    assert " ".join(lines[2].split()) == "ours 2.00 (1.50–8.00) s 1.50 (1.00–2.00) × theirs ≤ 2.5 met, ≤ 1.4 × MISSED"
    assert " ".join(lines[3].split()) == "theirs 2.00 (1.00–4.00) s"
    assert lines[4:] == ["  · mind the load"]


def test_one_turn_shows_no_extremes() -> None:
    line = Answer("startup", "", [Row("once", "s", [2.0], shape="{:.3f}")]).text().splitlines()[2]
    assert line.split() == ["once", "2.000", "s"]


def test_the_numbers_have_every_turn() -> None:
    rows = Answer("cold", "which is faster", [OURS, THEIRS]).as_json()["rows"]
    assert rows == [
        {
            "what": "ours",
            "unit": "s",
            "theirs": False,
            "values": [1.5, 2.0, 8.0],
            "median": 2.0,
            "p90": 8.0,
            "peer": "theirs",
            "ratios": [1.5, 1.0, 2.0],
            "median_ratio": 1.5,
            "goals": [{"goal": "≤ 2.5", "met": True}, {"goal": "≤ 1.4 ×", "met": False}],
        },
        {"what": "theirs", "unit": "s", "theirs": True, "values": [1.0, 2.0, 4.0], "median": 2.0, "p90": 4.0},
    ]


def test_a_table_of_many_things_stands_below_the_rows() -> None:
    answer = Answer("patterns", "", [THEIRS], ["mind the load"], Table(("pattern", "requests"), [("a1", "12"), ("k", "3400")]))
    assert answer.text().splitlines()[3:] == ["", "pattern  requests", "a1       12", "k        3400", "  · mind the load"]
    assert answer.as_json()["table"] == [{"pattern": "a1", "requests": "12"}, {"pattern": "k", "requests": "3400"}]
