"""The rules for records of fixed width in words, and a program that reads and writes them."""

SOURCE = """\
{source} has one record a line, in columns of fixed width. Where the fields are is told in {layout}; columns count from
1{charset}. {kind}"""
KINDS = """\
The first column is R in records; lines with H or T there are headers and trailers, which count nowhere."""
TEXT = "Names and the like are on the left of their columns, filled up with blanks."
DATE = "{day} is written {form}{century}."
CENTURY = ", where years from 50 on are 19.. and others 20.."
AMOUNT = {
    "plain": "{amount} is a whole number, filled up with zeros.",
    "leading": "{amount} has its sign (+ or -) in the first column and its last two digits behind the decimal point.",
    "trailing": "{amount} has its sign (a blank or -) in the last column, before that digits, the last two of them "
    "behind the decimal point.",
    "overpunched": "{amount} is all digits, the last two behind the decimal point, and the very last tells the sign:"
    " {{ A B C D E F G H I stand for 0 to 9 of a positive number, }} J K L M N O P Q R for 0 to 9 of a negative one.",
}
CLOSED = "Records with {closed} in {code} are left out of the result{late}."
DELIMITED = """\
{out} gets a line for each record, sorted by {id}, with {fields} in this order and a {separator} between them: {id} with
its zeros, text without the blanks around it, {amount_out}{day_out}. There is no header."""
FIXED = """\
{out} gets a line for each record, sorted by {id}, in the columns that {new_layout} tells, which counts characters; the
file is in UTF-8. Text is on the left, filled up with blanks or cut where it is too long; {id} has its zeros; {day} is
YYYY-MM-DD; {amount} begins with + or -, then come zeros and the number without its decimal point (zero has a +)."""
CHANGES = """\
{changes} is of the same form, but for A, C or D in the first column: a record to add, one to put in place of that with
the same {id}, or one to delete. They are applied to the records of {source} in their order, before anything else."""
REFUSED = """\
A change that cannot be applied, as it adds a record that is there at that moment or changes or deletes one that is not,
has no effect, but is listed in {refused} as its letter, a blank and the {id}, one per line in their order."""
TRAILER = """\
The last line of {out} is a trailer: T, the number of records before it in 8 digits, and the sum of their {amount}: a
sign and 14 digits, without a decimal point."""
LAST = "Make folders as needed."

READ = """\
FIELDS = {fields}

def cut(line):
    return {{name: line[begin - 1:end].strip() for name, (begin, end) in FIELDS.items()}}

def cents(text):
{amount}

def day(text):
{day}

def fit(text, width):
    return text[:width].ljust(width)

"""
AMOUNTS = {
    "plain": "    return int(text)",
    "leading": "    return int(text)",
    "trailing": '    return -int(text[:-1]) if text.endswith("-") else int(text)',
    "overpunched": '    at = "{ABCDEFGHI}JKLMNOPQR".index(text[-1])\n    number = int(text[:-1] + str(at % 10))\n'
    "    return -number if at > 9 else number",
}
DAYS = {
    "YYYYMMDD": '    return f"{text[:4]}-{text[4:6]}-{text[6:]}"',
    "DDMMYY": '    return f"{19 if text[4:] >= "50" else 20}{text[4:]}-{text[2:4]}-{text[:2]}"'.replace('"50"', "'50'"),
    "YYMMDD": '    return f"{19 if text[:2] >= "50" else 20}{text[:2]}-{text[2:4]}-{text[4:]}"'.replace('"50"', "'50'"),
}
LOAD = """\
records = {{}}
for line in open("{source}", encoding="{charset}"):
    {skip}record = cut(line.rstrip("\\n"))
    records[record["{id}"]] = record
"""
SKIP = """\
if line[0] not in "R":
        continue
    """
CHANGE = """\
refused = []
for line in open("{changes}", encoding="{charset}"):
    action, record = line[0], cut(line.rstrip("\\n"))
    if action not in "ACD":
        continue
    if (action == "A") == (record["{id}"] in records):
        refused.append(action + " " + record["{id}"] + "\\n")
    elif action == "D":
        del records[record["{id}"]]
    else:
        records[record["{id}"]] = record
"""
CHOOSE = """\
chosen = [record for _, record in sorted(records.items()){closed}]
"""
WRITE = """\
import os
os.makedirs("{folder}", exist_ok=True)
with open("{out}", "w", encoding="utf-8") as file:
    for record in chosen:
        {line}
"""
FINISH = """\
with open("{out}", "a") as file:
    file.write(f"T{{len(chosen):08}}{{sum(cents(record['{amount}']) for record in chosen):+015}}\\n")
open("{refused}", "w").writelines(refused)
"""
