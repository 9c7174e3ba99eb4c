"""Texts of recorded episodes: how much there is, how varied, and how much of it could not be read."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from termgym.protocol import answer, parse
from termgym.trajectory import Trajectory


@dataclass(slots=True)
class Texts:
    """Grows by one trajectory at a time; invalid ones are left out."""

    episodes: int = 0
    solved: int = 0
    turns: int = 0
    refused: int = 0
    """Turns whose reply could not be used."""
    analyses: set[int] = field(default_factory=set[int])
    """The hashes of those that there were."""
    characters: list[int] = field(default_factory=list[int])
    """Of each episode: the prompts and replies together, as a model would read them."""

    def add(self, trajectory: Trajectory) -> None:
        """Count one more episode."""
        if not trajectory.valid:
            return
        self.episodes += 1
        self.solved += trajectory.solved
        self.turns += len(trajectory.turns)
        self.refused += sum(bool(turn.error) for turn in trajectory.turns)
        actions = (parse(answer(turn.reply)).action for turn in trajectory.turns)
        self.analyses |= {hash(action.analysis) for action in actions if action}
        turns = sum(len(turn.reply) + len(turn.observation) for turn in trajectory.turns)
        self.characters.append(len(trajectory.first) + turns)

    def to_dict(self) -> dict[str, Any]:
        """What it came to, for JSON; null stands where there is nothing to tell."""
        median, p90 = np.percentile(self.characters, [50, 90]) if self.characters else (None, None)
        return {
            "episodes": self.episodes,
            "solved": self.solved,
            "turns": self.turns,
            "distinct_analyses_per_1000_turns": 1000 * len(self.analyses) / self.turns if self.turns else None,
            "refused_share": self.refused / self.turns if self.turns else None,
            "characters_median": median and float(median),
            "characters_p90": p90 and float(p90),
        }

    def text(self) -> str:
        """The same for people."""
        if not self.turns:
            return "No episodes."
        told = self.to_dict()
        return "\n".join(
            (
                f"{self.solved} of {self.episodes} episodes solved, {self.turns} turns",
                f"{told['distinct_analyses_per_1000_turns']:.0f} distinct analyses per 1,000 turns",
                f"{told['refused_share']:.1%} of the turns could not be read",
                f"{told['characters_median']:.0f} characters per episode (median), {told['characters_p90']:.0f} (p90)",
            )
        )
