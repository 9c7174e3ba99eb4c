"""Small shell programs of three functions in a pipe, the rules for what they print, and bugs that they may have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """A snippet that went wrong."""

    name: str
    good: str
    bad: str
    shown_by: str
    """Lines of input without which nobody notices."""


@dataclass(frozen=True, slots=True)
class Program:
    """Three functions in a pipe, and what is known of them. In lines of input, ? is any digit but 0."""

    names: tuple[str, ...]
    rules: tuple[str, ...]
    heading: str
    ordinary: str
    """Lines of input for one word, which show no bug."""
    stages: Mapping[str, str]
    """Function -> its body, in the order of the pipe."""
    bugs: tuple[Bug, ...]
    answer: Callable[[str], str]
    """What the program prints for an input once it is right."""


def _totals(text: str) -> str:
    rows = [line.split(",") for line in text.splitlines()[1:] if not line.startswith("#")]
    amounts: dict[str, list[int]] = {}
    for _, name, amount in rows:
        amounts.setdefault(name, []).append(int(amount.replace(".", "")))
    order = sorted(amounts, key=lambda name: (-sum(amounts[name]), name))
    return "".join(f"{name:<10} {len(amounts[name]):3d} {sum(amounts[name]) / 100:9.2f}\n" for name in order)


def _settings(text: str) -> str:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return "".join(f"{key}: [{value}]\n" for key, value in values.items())


def _shifts(text: str) -> str:
    sums: dict[str, int] = {}
    for name, *clocks in (line.split() for line in text.splitlines() if not line.endswith(" -")):
        start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in clocks)
        length = (end - start) % 1440
        sums[name] = sums.get(name, 0) + length - (30 if length > 360 else 0)
    return "".join(f"{name} {sums[name] // 60}:{sums[name] % 60:02}\n" for name in sorted(sums))


def _ranks(text: str) -> str:
    scores: dict[str, list[int]] = {}
    for line in text.splitlines():
        name, score, _ = line.split(";")
        if score.isdigit():
            scores.setdefault(name.lower(), []).append(int(score))
    best = sorted(((max(all_), name) for name, all_ in scores.items()), key=lambda one: (-one[0], one[1]))
    places = [1 + sum(other > score for other, _ in best) for score, _ in best]
    return "".join(f"{place}. {name} {score}\n" for place, (score, name) in zip(places, best, strict=True))


WORDS = tuple("anvil bench crate drum easel flute globe hinge inkpot kettle ladder mirror nail oar pump quilt".split())
"""None of which is in a bug's own lines."""
PROGRAMS = (
    Program(
        names=("totals", "spending", "ledger", "tally"),
        rules=(
            "It reads lines DAY,ITEM,AMOUNT. The first one is a heading; one that starts with # does not count.",
            "For each item it prints one line: the name, the number of amounts and their sum.",
            "A negative amount is money that came back and lowers the sum.",
            "The largest sum comes first; where sums are equal, names go from A to Z.",
        ),
        heading="day,item,amount\n",
        ordinary="0?.0?,{0},2?.??\n1?.0?,{0},3?.??\n",
        stages={
            "amounts": """awk -F, 'NR > 1 && !/^#/ { gsub(/[.]/, "", $3); print $2, $3 }'""",
            "sums": "awk '{ sum[$1] += $2; n[$1]++ } END { for (name in sum) print name, n[name], sum[name] }'",
            "table": """LC_ALL=C sort -k3,3nr -k1,1 | awk '{ printf "%-10s %3d %9.2f\\n", $1, $2, $3 / 100 }'""",
        },
        bugs=(
            Bug("comments", "NR > 1 && !/^#/", "NR > 1", "#0?.0?,rope,1?.??\n"),
            Bug("refunds", "/[.]/", "/[^0-9]/", "0?.0?,sofa,3?.??\n1?.0?,sofa,-1?.??\n"),
            Bug("magnitudes", "-k3,3nr", "-k3,3r", "0?.0?,yacht,1??.??\n"),
            Bug("ties", "-k1,1", "-k2,2", "0?.0?,zither,15.00\n0?.0?,apron,5.00\n1?.0?,apron,10.00\n"),
        ),
        answer=_totals,
    ),
    Program(
        names=("settings", "effective", "lastword", "resolve"),
        rules=(
            "It reads lines KEY=VALUE; lines without = do not count.",
            "The key ends at the first =. All that follows is the value, even more =, backslashes and runs of blanks.",
            "Where a key comes again, its last value counts.",
            "It prints each key once, with its value in brackets, in the order in which the keys first came.",
        ),
        heading="nothing to see here\n",
        ordinary="{0}=about ?? or ??\n",
        stages={
            "lines": """while read -r line; do\n    case $line in *=*) printf '%s\\n' "$line" ;; esac\ndone""",
            "pairs": """while read -r pair; do\n    printf '%s\\t%s\\n' "${pair%%=*}" "${pair#*=}"\ndone""",
            "last": """awk -F '\\t' '{ if (!($1 in value)) order[++n] = $1; value[$1] = $2 }
    END { for (i = 1; i <= n; i++) print order[i] ": [" value[order[i]] "]" }'""",
        },
        bugs=(
            Bug("equals", "${pair%%=*}", "${pair%=*}", "query=a=?&b=??\n"),
            Bug("backslashes", "read -r line", "read line", "folder=C:\\new?\\??\n"),
            Bug("blanks", '"$line" ;;', '"$(echo $line)" ;;', "title=?   and   ??\n"),
            Bug("repeated", "$1 in value", "$1 in order", "size=??\ncolour=?\nsize=now ?\n"),
        ),
        answer=_settings,
    ),
    Program(
        names=("hours", "shifts", "timesheet", "workdays"),
        rules=(
            "It reads lines of a name, when a shift began and when it ended (HH:MM), if earlier then on the next day.",
            "A - for the end means that the shift is still going on; it does not count yet.",
            "From a shift of more than six hours, a break of 30 minutes is taken off; from one of just six it is not.",
            "It prints, by name from A to Z, the sum as hours:minutes.",
        ),
        heading="",
        ordinary="{0} 0?:3? 1?:5?\n{0} 0?:1? 1?:4?\n",
        stages={
            "closed": """while read -r name from to; do
    [ "$to" = - ] || echo "$name ${from%:*} ${from#*:} ${to%:*} ${to#*:}"
done""",
            "paid": """while read -r name h1 m1 h2 m2; do
    a=$((10#$h1 * 60 + 10#$m1)) b=$((10#$h2 * 60 + 10#$m2))
    if ((b < a)); then b=$((b + 1440)); fi
    if ((b - a > 360)); then b=$((b - 30)); fi
    echo "$name $((b - a))"
done""",
            "table": """awk '{ sum[$1] += $2 }
    END { for (n in sum) printf "%s %d:%02d\\n", n, sum[n] / 60, sum[n] % 60 }' | LC_ALL=C sort""",
        },
        bugs=(
            Bug("exact", "b - a > 360", "b - a >= 360", "rosa 10:15 16:15\n"),
            Bug("zeros", "60 + 10#$m1", "60 + m1", "sami 10:08 13:4?\n"),
            Bug("midnight", "b + 1440", "b + 720", "tove 22:1? 01:3?\n"),
            Bug("open", '[ "$to" = - ] || echo', "echo", "ursa 1?:3? -\nursa 0?:3? 1?:5?\n"),
        ),
        answer=_shifts,
    ),
    Program(
        names=("ranking", "league", "podium", "highscores"),
        rules=(
            "It reads lines NAME;SCORE;REMARK. Lines do not count whose score is not a whole number, such as 12-.",
            "Upper and lower case in names are the same: a name is printed in lower case.",
            "For each name its best score counts, and the highest comes first. Where scores are equal, names go from A "
            "to Z.",
            "It prints place, name and score. Equal scores share a place, and the next place is left out: 1, 2, 2, 4.",
        ),
        heading="",
        ordinary="{0};1?;fine\n{0};3?;better\n",
        stages={
            "valid": """awk -F';' '$2 ~ /^[0-9]+$/ { print $1 ";" $2 }' | tr 'A-Z' 'a-z'""",
            "best": """awk -F';' '!($1 in top) || $2 + 0 > top[$1] { top[$1] = $2 + 0 }
    END { for (name in top) print top[name], name }'""",
            "places": """LC_ALL=C sort -k1,1nr -k2 | awk '{ if ($1 != last) place = NR
    last = $1
    print place ". " $2 " " $1 }'""",
        },
        bugs=(
            Bug("dashes", "/^[0-9]+$/", "/[0-9]/", "vera;9?-;void\nvera;2?;fine\n"),
            Bug("capitals", "'A-Z' 'a-z'", "'A-V' 'a-v'", "Wim;4?;fine\nwim;2?;fine\n"),
            Bug("by-text", "$2 + 0 > top[$1]", '$2 "" > top[$1] ""', "yann;9?;fine\nyann;10?;fine\n"),
            Bug("places", "place = NR", "place++", "zoe;200;fine\nabe;200;fine\n"),
        ),
        answer=_ranks,
    ),
)
