"""A query: families by what they are about, as `domain=security skills=checksums,permissions level=3 split=test`."""

from dataclasses import dataclass

from termgym import skill
from termgym.errors import TaskError, UnknownName
from termgym.family import Family
from termgym.proof import proven
from termgym.split import Split, find_split, of_split
from termgym.task import DOMAINS

KEYS = ("domain", "skills", "level", "split")


@dataclass(frozen=True, slots=True)
class Query:
    """What families are wanted; what is not said does not matter.

    Raises:
        UnknownName: There is no such domain or skill; the message suggests what was meant.
    """

    domain: str | None = None
    """One of `task.DOMAINS`."""
    skills: tuple[str, ...] = ()
    """All of these, by names of `skill.SKILLS`, composed in the tasks of the level wanted or else of some level."""
    level: int | None = None
    split: Split | None = None
    """Of its families, and of its seeds."""

    def __post_init__(self) -> None:
        if self.domain is not None and self.domain not in DOMAINS:
            raise UnknownName("domain", self.domain, DOMAINS)
        skill.check(self.skills)

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Read KEY=VALUE words, apart by spaces; several skills are apart by commas.

        Raises:
            UnknownName: There is no such key, domain, skill or split.
            TaskError: The level is no number.
        """
        words = {key: value for key, _, value in (word.partition("=") for word in text.split())}
        for key in words.keys() - set(KEYS):
            raise UnknownName("key of a query", key, KEYS)
        level = words.get("level")
        if level is not None and not level.isdecimal():
            raise TaskError(f"{text!r}: level is {level!r}; expected a number from 1")
        skills = tuple(filter(None, words.get("skills", "").split(",")))
        split = find_split(words["split"]) if "split" in words else None
        return cls(words.get("domain"), skills, None if level is None else int(level), split)

    def matches(self, family: Family) -> bool:
        """Whether the family has such tasks."""
        level = self.level or family.levels
        in_domain = self.domain in (None, family.domain)
        return in_domain and 1 <= level <= family.levels and set(self.skills) <= set(family.skills_at(level))

    def families(self) -> list[Family]:
        """All proven families that match, in the order of their names."""
        found = [family for family in proven().values() if self.matches(family)]
        return of_split(self.split, found) if self.split else found


def is_query(text: str) -> bool:
    """Whether a string is a query, rather than a name, a path or a specification."""
    return text.partition("=")[0].isidentifier() and "=" in text
