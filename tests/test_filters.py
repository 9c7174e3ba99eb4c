"""Which records of a corpus are kept, and why the others are not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from termgym.corpus.filters import Filters, without_thinking
from termgym.corpus.record import Record
from termgym.duplicates import Index
from termgym.policy import Message
from termgym.trajectory import TurnRecord
from tests.records import DONE, YES, one


def test_each_filter_keeps_and_drops(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "task.md").write_text("one two three four five six seven eight nine ten eleven twelve a b")
    solved = Record.of(one(0, turns=(TurnRecord(YES, "x", token_ids=(1,), prompt_ids=(2,)), TurnRecord(DONE, "y"))))
    poor = Record.of(one(1, turns=(TurnRecord("{oops", "x"),), dense=0.25, domain="games", family="f", level=4))
    unknown = Record(solved.messages)
    wordy = replace(unknown, messages=(*solved.messages[:-1], Message("assistant", "Well. " + DONE)))
    met = replace(solved, messages=(Message("user", (tmp_path / "bench/task.md").read_text()), *solved.messages[1:]))
    cases: list[tuple[Filters, Sequence[Record], Sequence[Record]]] = [
        (Filters(solved=True), [solved], [poor, unknown]),
        (Filters(min_dense=0.25), [solved, poor], [unknown]),
        (Filters(min_dense=0.0), [solved, poor], [unknown]),
        (Filters(strict=True), [solved, unknown], [wordy]),
        (Filters(min_dense=0.5), [solved], [poor, unknown]),
        (Filters(complete=True), [solved, unknown], [poor]),
        (Filters(clean=True), [solved, unknown], [poor]),
        (Filters(domains=("games", "query")), [poor], [solved, unknown]),
        (Filters(families=("f",)), [poor], [solved]),
        (Filters(levels=(4, 5)), [poor], [solved]),
        (Filters(min_turns=2), [solved], [poor]),
        (Filters(max_turns=1), [poor], [solved]),
        (Filters(max_characters=poor.characters), [poor], [solved] * (solved.characters > poor.characters)),
        (Filters(against=Index([tmp_path / "bench"])), [solved], [met]),
        (Filters(), [solved, poor, unknown], []),
    ]
    for filters, kept, dropped in cases:
        assert list(filters.apply([*kept, *dropped])) == list(kept), filters
        assert (filters.kept, filters.dropped.total()) == (len(kept), len(dropped))


def test_tokens_are_counted_where_they_are_known() -> None:
    turns = (TurnRecord(YES, "x", token_ids=(1, 2), prompt_ids=(3,)), TurnRecord(DONE, "y", token_ids=(4,), kept=3))
    known, unknown = Record.of(one(0, turns=turns)), Record.of(one(1))
    assert known.tokens == 4 and unknown.tokens is None
    assert list(Filters(max_tokens=4).apply([known, unknown])) == [known]
    assert list(Filters(max_tokens=3).apply([known])) == []


def test_what_was_said_before_is_left_out() -> None:
    words = " ".join(f"word{number}" for number in range(200))
    same = [Record((Message("user", f"task {n}"), Message("assistant", f"{words} {n}"))) for n in range(3)]
    other = Record((Message("user", "task"), Message("assistant", words[::-1])))
    filters = Filters(unique=True)
    assert list(filters.apply([*same, other])) == [same[0], other] and filters.dropped == {"nearly another": 2}


def test_short_answers_are_told_apart() -> None:
    few = [Record((Message("user", "task"), Message("assistant", words))) for words in ("a b", "a c", "a b")]
    assert list(Filters(unique=True).apply(few)) == few[:2]


def test_thinking_can_be_left_out() -> None:
    thought = Record.of(one(0, turns=(TurnRecord(f"<think>\nhm\n</think>\n\n{YES}", "x"),)))
    plain = without_thinking(thought)
    assert thought.thinking and not plain.thinking and plain.messages[1].content == YES and plain.trajectory is None
