"""Training on a Ray cluster of several nodes, one of which dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes import prepare, tables

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from termgym.rllib.recipe import Recipe  # noqa: E402
from termgym.rllib.session import session  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(400)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    ray.init(address=made.address, logging_level="ERROR", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def test_runners_of_several_nodes_one_of_which_dies(cluster: Cluster, tmp_path: Path) -> None:
    prepare(tmp_path)
    recipe = Recipe.of("grpo", tables(tmp_path, "grpo", workers={"runners": 2}))
    with session(recipe.config, tmp_path / "ray") as algorithm:
        algorithm.train()
        assert algorithm.last["episodes"] == 6
        runners = algorithm.env_runner_group
        nodes = runners.foreach_env_runner(lambda _: ray.get_runtime_context().get_node_id(), local_env_runner=False)
        assert len(set(nodes)) == 2
        cluster.remove_node(next(node for node in cluster.worker_nodes if node.node_id in nodes), allow_graceful=False)
        found = []
        while not found or found[-1] < 6:
            algorithm.train()
            found.append(algorithm.last["episodes"])
        assert min(found) >= 3
