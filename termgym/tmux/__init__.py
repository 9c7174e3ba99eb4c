"""A real tmux as the terminal: what an agent in Terminus 2 sees, and what people can attach to.

The tmux server runs outside the sandbox, one for each event loop, and nothing of the sandbox runs in it: a pane holds a
process that sleeps, and we sit at its tty in the place of a program. What tmux types there goes into the sandbox's PTY,
and what the sandbox prints is printed there. So tmux encodes the keys, answers queries and draws the screen, while when
a terminal has settled is known as it always is, from the kernel (termgym.settle).
"""

from termgym.tmux.console import TmuxConsole

__all__ = ["TmuxConsole"]
