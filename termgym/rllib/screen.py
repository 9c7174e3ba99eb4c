"""An actor and critic on the screen as an RLModule: for PPO, APPO and BC on `TerminalGrid-v0`."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from typing import Any

from gymnasium.spaces import Discrete
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import TARGET_NETWORK_ACTION_DIST_INPUTS, TargetNetworkAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from termgym.grid import KEYS
from termgym.rllib.network import ScreenNetwork

SIZES = ("cells", "embedding", "words", "size")


class ScreenModule(TorchRLModule, ValueFunctionAPI, TargetNetworkAPI):
    """A `ScreenNetwork` with a value; its `model_config` may have the network's arguments.

    *Batch*: `obs`, a dict of tensors as `TerminalGrid-v0` has them, (batch, ...). *Out*: `action_dist_inputs`, (batch,
    keys), logits of `termgym.grid.KEYS`; `embeddings`, (batch, size), of which the value is made.

    Raises:
        ValueError: The actions are not those of `TerminalGrid-v0`.
    """

    @override(TorchRLModule)
    def setup(self) -> None:
        if self.action_space != Discrete(len(KEYS)):
            raise ValueError(f"ScreenModule types the {len(KEYS)} keys of TerminalGrid-v0, not {self.action_space}")
        sizes = {name: self.model_config[name] for name in SIZES if name in self.model_config}  # RLlib adds its own
        self.network = ScreenNetwork(**sizes)
        self.value = nn.Linear(self.network.size, 1)

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        state, logits = self.network(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.EMBEDDINGS: state}

    @override(ValueFunctionAPI)
    def compute_values(self, batch: dict[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """What the reward to come is worth, (batch,)."""
        state = self.network(batch[Columns.OBS])[0] if embeddings is None else embeddings
        return self.value(state).squeeze(-1)

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Keep the policy as it was a while ago, for APPO."""
        self.target = make_target_network(self.network)

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[Any]:
        """What is copied, and to where."""
        return [(self.network, self.target)]

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The logits of the policy as it was."""
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: self.target(batch[Columns.OBS])[1]}
