"""A book: entries, and what they come to."""

from tallybook.entry import Entry


class Book:
    """Entries in the order of their days."""

    def __init__(self, entries=()):
        self.entries = sorted(entries, key=lambda entry: entry.day)

    @classmethod
    def read(cls, text):
        """The book of a text; blank lines and lines that begin with # are left out."""
        lines = [line.strip() for line in text.splitlines()]
        return cls(Entry.parse(line) for line in lines if line and not line.startswith("#"))

    def accounts(self):
        """All accounts, sorted."""
        return sorted({entry.account for entry in self.entries})

    def between(self, first, last):
        """The book of the days from first to last, both included."""
        return Book(entry for entry in self.entries if first <= entry.day <= last)

    def balance(self, account=None):
        """Cents of an account and of those below it (food and food:out), or of all."""
        return sum(entry.cents for entry in self.entries if account is None or within(entry.account, account))

    def lowest(self):
        """The lowest that the sum of all comes to after any entry, and its day; None for an empty book."""
        total, found = 0, None
        for entry in self.entries:
            total += entry.cents
            if found is None or total < found[0]:
                found = (total, entry.day)
        return found

    def months(self):
        """Month, as (year, month) -> cents spent and cents received in it, in order."""
        found = {}
        for entry in self.entries:
            spent, received = found.get((entry.day.year, entry.day.month), (0, 0))
            if entry.cents < 0:
                spent -= entry.cents
            else:
                received += entry.cents
            found[entry.day.year, entry.day.month] = (spent, received)
        return found


def within(account, parent):
    """Whether an account is the parent or below it."""
    return account == parent or account.startswith(parent + ":")
