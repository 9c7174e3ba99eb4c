"""How a terminal's episodes end, told to RLlib: for `config.callbacks(Endings)`."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.annotations import override

from termgym.outcome import Outcome


class Endings(RLlibCallback):
    """Takes a limit for an end, and leaves out episodes that a sandbox or a verifier failed.

    At a limit the files are judged, and the reward comes: nothing follows whose value could be guessed, as RLlib would
    for a truncated episode. Where there was no verdict, a reward of 0 is no score.
    """

    @override(RLlibCallback)
    def on_sample_end(self, *, samples: list[SingleAgentEpisode], **kwargs: Any) -> None:
        samples[:] = [episode for episode in samples if _valid(episode)]
        for episode in samples:
            if episode.is_truncated:
                episode.is_terminated, episode.is_truncated = True, False


def _valid(episode: SingleAgentEpisode) -> bool:
    outcome = episode.get_infos(-1).get("outcome") if episode.is_done else None
    return outcome is None or Outcome(outcome).valid
