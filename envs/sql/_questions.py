"""What is asked of a database at each level, in words and in SQL, and what is easily got wrong."""

RANKED = "{key} {items} total_{amount}"
COLUMNS = {1: RANKED, 2: RANKED, 3: "{group} place " + RANKED, 4: RANKED, 5: "{group} place " + RANKED + " percent"}
BY_TOTAL, BY_PLACE = "total_{amount} DESC, {key}", "{group}, place"
ORDER = {1: BY_TOTAL, 2: BY_TOTAL, 3: BY_PLACE, 4: BY_TOTAL, 5: BY_PLACE}

COUNTED = "{items} whose {state} is '{wanted}' and whose {day} lies from {first} to {last}, both days included"
QUESTION = {
    1: """\
Count only the {counted}. For each {kind} that has any: how many {items} are there, and what is the sum of {amount}? A
NULL {amount} adds nothing, but its row still counts.""",
    2: """\
For each row of {owners}, also those without any: how many {counted}, does it have, and what is the sum of {amount} of
these? A NULL {amount} adds nothing, but its row still counts; where there are none, both numbers are 0. Rows of {items}
that belong to nobody are left out.""",
    3: """\
Rank the {owners} within each {group}. Consider only {counted}. {worth} Find for each of the {owners} the number of such
{items} and the sum of what they are worth. {places}""",
    4: """\
A row of {owners} may have a {parent}, which is the id of another one. A team is somebody without a {parent}, all whose
{parent} that is, all whose {parent} is one of these, and so on to any depth. Consider only {counted}. {worth} Find for
each team, under the name of the one without a {parent}, the number of such {items} of all its people and the sum of
what they are worth, also where both are 0.""",
    5: """\
A row of {owners} may have a {parent}, which is the id of another one. The team of one of the {owners} is that one,
everybody whose {parent} is that one, everybody whose {parent} is one of these, and so on to any depth; so teams may
hold others. Rank the {owners} within each {group} by their teams. Consider only {counted}. {worth} Find for each of the
{owners} the number of such {items} of the whole team, whatever the {group} of its people, and the sum of what they are
worth; percent is how much of that sum is due to {items} of that one alone, as a percentage rounded down to a whole
number. {places}""",
}
WORTH = """\
What one row of {items} is worth is the sum of quantity times unit_{amount} over its rows in {lines}, where a NULL
quantity counts as 1; its own {amount} is out of date."""
PLACES = """\
The larger the sum, the better the place: 1, 2, 3 and so on in each {group}, and equal sums are placed in alphabetical
order of their names. Wanted are the best {top} of each {group} (fewer if fewer have any such {items})."""
FILTER = "{state} = '{wanted}' AND date({day}) BETWEEN '{first}' AND '{last}'"
TEAM = (
    "team(head, id) AS (SELECT id, id FROM {owners} {top}UNION ALL"
    " SELECT t.head, o.id FROM team t JOIN {owners} o ON o.{parent} = t.id)"
)
VALUE = (
    "worth AS (SELECT i.id, i.{owner}, SUM(COALESCE(l.quantity, 1) * l.unit_{amount}) AS worth"
    f" FROM {{items}} i JOIN {{lines}} l ON l.{{item}} = i.id WHERE {FILTER} GROUP BY i.id)"
)
SELECT = {
    1: "SELECT {kind}, COUNT(*) AS {items}, COALESCE(SUM({amount}), 0) AS total_{amount}"
    f" FROM {{items}} WHERE {FILTER} GROUP BY 1",
    2: "SELECT o.name, COUNT(i.id) AS {items}, COALESCE(SUM(i.{amount}), 0) AS total_{amount}"
    f" FROM {{owners}} o LEFT JOIN {{items}} i ON i.{{owner}} = o.id AND {FILTER} GROUP BY o.id",
    3: "SELECT {group}, place, name, {items}, total_{amount} FROM (SELECT *, ROW_NUMBER() OVER"
    " (PARTITION BY {group} ORDER BY total_{amount} DESC, name) AS place FROM (SELECT o.{group}, o.name,"
    " COUNT(DISTINCT i.id) AS {items}, SUM(COALESCE(l.quantity, 1) * l.unit_{amount}) AS total_{amount}"
    " FROM {owners} o JOIN {items} i ON i.{owner} = o.id JOIN {lines} l ON l.{item} = i.id"
    f" WHERE {FILTER} GROUP BY o.id)) WHERE place <= {{top}}",
    4: f"WITH RECURSIVE {TEAM.replace('{top}', 'WHERE {parent} IS NULL ')}, {VALUE} SELECT o.name, COUNT(w.id) AS"
    " {items}, COALESCE(SUM(w.worth), 0) AS total_{amount} FROM team t JOIN {owners} o ON o.id = t.head"
    " LEFT JOIN worth w ON w.{owner} = t.id GROUP BY t.head",
    5: f"WITH RECURSIVE {TEAM.replace('{top}', '')}, {VALUE} SELECT {{group}}, place, name, {{items}},"
    " total_{amount}, percent FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {group} ORDER BY total_{amount} DESC,"
    " name) AS place FROM (SELECT o.{group}, o.name, COUNT(w.id) AS {items}, SUM(w.worth) AS total_{amount},"
    " SUM(w.worth * (t.id = t.head)) * 100 / SUM(w.worth) AS percent FROM team t JOIN {owners} o ON o.id = t.head"
    " JOIN worth w ON w.{owner} = t.id GROUP BY t.head)) WHERE place <= {top}",
}
MISTAKES = {
    "all-states": ("{state} = '{wanted}' AND ", ""),
    "last-day-lost": ("date(", "("),
    "inner-join": ("LEFT JOIN", "JOIN"),
    "lines-counted": ("DISTINCT ", ""),
    "nulls-ignored": ("COALESCE(l.quantity, 1)", "l.quantity"),
    "one-step-down": ("ON o.{parent} = t.id", "ON o.{parent} = t.id WHERE t.head = t.id"),
    "without-the-head": ("t.id GROUP BY t.head", "t.id AND t.id <> t.head GROUP BY t.head"),
    "frozen-view": ("CREATE VIEW", "CREATE TABLE"),
    "no-header": (".headers on", ".headers off"),
}
"""Name -> what to replace in the oracle, where it has that."""
