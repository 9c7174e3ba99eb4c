"""Which records of a corpus are kept, and why the others are not."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from rich.table import Table

from termgym.corpus.record import Record
from termgym.duplicates import Index, NearDuplicates
from termgym.protocol import answer
from termgym.report import grid


@dataclass(slots=True)
class Filters:
    """What is asked of a record; what is not asked for is not looked at. A result that is not known is none."""

    solved: bool = False
    min_dense: float | None = None
    """The weighted share of the checks that passed."""
    complete: bool = False
    """The agent said in the end that it was done."""
    clean: bool = False
    """Every answer could be read as an action."""
    strict: bool = False
    """And no answer needed a warning: of text beside its JSON, of keys that the protocol does not know."""
    domains: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    min_turns: int | None = None
    max_turns: int | None = None
    max_tokens: int | None = None
    """Of the whole conversation, as its model counted; a record that does not tell is not kept."""
    max_characters: int | None = None
    unique: bool = False
    """What the agent said is not nearly what it said in a record before."""
    against: Index | None = None
    """Texts that it must not have 14 words in a row in common with."""
    dropped: Counter[str] = field(default_factory=Counter[str])
    """Why -> how many."""
    kept: int = 0

    def apply(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records that are kept; counted as they come."""
        seen = NearDuplicates() if self.unique else None
        for record in records:
            reason = self.why_not(record)
            if not reason and seen and seen.add("\n".join(record.replies)) is not None:
                reason = "nearly another"
            if reason:
                self.dropped[reason] += 1
                continue
            self.kept += 1
            yield record

    def why_not(self, record: Record) -> str:
        """Why a record is not kept, in a few words, or nothing."""
        return next((reason for reason, wanted, fine in self._rules if wanted and not fine(record)), "")

    @property
    def _rules(self) -> list[tuple[str, bool, Callable[[Record], bool]]]:
        levels, most, least = self.levels, self.max_turns, self.min_turns
        return [
            ("not solved", self.solved, lambda one: one.solved is True),
            ("scored too low", self.min_dense is not None, self._scored),
            ("not complete", self.complete, lambda one: one.complete),
            ("answers not read", self.clean, lambda one: all(parsed.action for parsed in one.parsed)),
            ("answers not read, or with a warning", self.strict, self._flawless),
            ("another domain", bool(self.domains), lambda one: one.domain in self.domains),
            ("another family", bool(self.families), lambda one: one.family in self.families),
            ("another level", bool(levels), lambda one: one.level in levels),
            ("too few turns", least is not None, lambda one: len(one.replies) >= (least or 0)),
            ("too many turns", most is not None, lambda one: len(one.replies) <= (most or 0)),
            ("too many tokens", self.max_tokens is not None, self._short_enough),
            ("too long", self.max_characters is not None, lambda one: one.characters <= (self.max_characters or 0)),
            ("words of others", self.against is not None, lambda one: not self._shares(one)),
        ]

    def _scored(self, record: Record) -> bool:
        return record.dense is not None and record.dense >= (self.min_dense or 0.0)

    def _flawless(self, record: Record) -> bool:
        return all(parsed.action and not parsed.warnings for parsed in record.parsed)

    def _short_enough(self, record: Record) -> bool:
        return record.tokens is not None and record.tokens <= (self.max_tokens or 0)

    def _shares(self, record: Record) -> bool:
        text = "\n".join(message.content for message in record.messages)
        return self.against is not None and self.against.shares(text) is not None

    def table(self) -> Table:
        """How many were kept, and why the others were not."""
        table = grid("", "records")
        table.add_row("kept", str(self.kept), style="bold")
        for reason, count in self.dropped.most_common():
            table.add_row(reason, str(count))
        return table


def without_thinking(record: Record) -> Record:
    """A record without what the agent thought aloud. What was recorded of its tokens goes with that."""
    messages = tuple(
        replace(message, content=answer(message.content).strip()) if message.role == "assistant" else message
        for message in record.messages
    )
    return replace(record, messages=messages, trajectory=None)
