"""How an episode ended: one enum, everywhere."""

from enum import Enum


class Outcome(Enum):
    """How an episode ended. Whatever ends it, the files are judged; work that passes is SOLVED."""

    SOLVED = "solved"
    """The verifier passed everything."""
    FAILED = "failed"
    """The agent said that it was done, and it was not."""
    OUT_OF_TURNS = "out_of_turns"
    OUT_OF_TIME = "out_of_time"
    """The limit on wall seconds or on command seconds."""
    OUT_OF_TOKENS = "out_of_tokens"
    AGENT_DIED = "agent_died"
    """Its shell ended before it said that it was done."""
    VERIFIER_ERROR = "verifier_error"
    """The verifier gave no result. Not a score: retried, masked, counted."""
    INFRA_ERROR = "infra_error"
    """The sandbox failed. Not a score, likewise."""

    @property
    def valid(self) -> bool:
        """Whether the episode has a score."""
        return self not in (Outcome.VERIFIER_ERROR, Outcome.INFRA_ERROR)

    @property
    def truncated(self) -> bool:
        """Whether a limit ended it rather than the agent."""
        return self in (Outcome.OUT_OF_TURNS, Outcome.OUT_OF_TIME, Outcome.OUT_OF_TOKENS)
