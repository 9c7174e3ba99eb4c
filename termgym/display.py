"""What notebooks show of an object (`_repr_html_`): small, static HTML, in which all text is escaped."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_SCREEN = "background: #14161a; color: #cfd2d6; padding: 8px 12px; border-radius: 6px; overflow-x: auto"


class Html(str):
    """Text that is HTML already; any other string is escaped."""


def element(name: str, *children: str, style: str = "") -> Html:
    """An element with these children; name and style are ours, and taken as they are."""
    inner = "".join(child if isinstance(child, Html) else escape(child) for child in children)
    return Html(f'<{name} style="{style}">{inner}</{name}>' if style else f"<{name}>{inner}</{name}>")


def screen(text: str) -> Html:
    """What a terminal showed."""
    return element("pre", text, style=_SCREEN)


def table(shown: "Table") -> Html:
    """A table that is otherwise printed."""
    head = element("tr", *(element("th", str(column.header)) for column in shown.columns))
    cells = zip(*(column.cells for column in shown.columns), strict=True)
    rows = (element("tr", *(element("td", str(cell)) for cell in row)) for row in cells)
    return element("table", element("thead", head), element("tbody", *rows))
