"""Books as text."""

from tallybook.entry import format_cents


def balances(book):
    """A line for each account, amounts below each other, and the total."""
    rows = [(account, format_cents(book.balance(account))) for account in book.accounts()]
    rows.append(("total", format_cents(book.balance())))
    width = max(len(name) for name, _ in rows)
    digits = max(len(amount) for _, amount in rows)
    return "".join(f"{name:<{width}}  {amount:>{digits}}\n" for name, amount in rows)


def bars(book, width=20):
    """A bar for the money spent in each month, the longest one of the given width."""
    months = {month: spent for month, (spent, _) in book.months().items()}
    most = max(months.values(), default=0)
    lines = []
    for (year, month), spent in months.items():
        length = round(spent * width / most) if most else 0
        lines.append(f"{year}-{month:02} {'#' * length}".rstrip() + "\n")
    return "".join(lines)
