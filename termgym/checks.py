r"""Bash functions for check scripts: what they look at was left by an adversary.

A family puts `PLAIN` in front of a script that reads a file:

    Check("report", PLAIN + "plain /app/report.csv || exit 1\ncmp -s expected/report.csv /app/report.csv")
"""

PLAIN = """\
# plain PATH [BYTES]: PATH is a regular file, reached through no link, and not larger (1 MB). Opening a FIFO would hang,
# a link could lead to what the verifier expects, and a sparse file of terabytes would take it past its time.
plain() {
  [ "$(realpath -e -- "$1" 2>/dev/null)" = "$1" ] && [ -f "$1" ] && [ "$(stat -c %s -- "$1")" -le "${2:-1000000}" ]
}
"""
