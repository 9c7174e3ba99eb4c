"""vLLM as a policy: SmolLM2-135M really runs, on the CPU, in this process and in a server. By `make test-vllm`."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from termgym.agent import Agent, Sampling
from termgym.aio import Loop
from termgym.attempt import Attempt
from termgym.launcher_client import close_launcher
from termgym.policy import close_models
from termgym.rollout import Rollout, rollout
from termgym.sample import contexts, samples
from termgym.task import Check, Limits, Task
from termgym.trajectory import Trajectory

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(900)]
TASK = Task(id="t@17.2", instruction="Write yes into answer.", checks=(Check("answer", "test -e /app/answer"),))
SHORT = Sampling(max_tokens=64)
# float32, since torch has no fast bfloat16 for processors without AVX-512: hundreds of times slower.
CONTEXT, MEMORY, DTYPE = 4096, 0.25, "float32"


@pytest.fixture(scope="module")
def folder() -> str:
    return import_module("tests.smollm").folder()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=Loop) as runner:
        yield runner
        runner.run(close_models())
        runner.run(close_launcher())


@pytest.fixture(scope="module")
def model(folder: str, runner: asyncio.Runner) -> Iterator[Any]:
    vllm: Any = import_module("termgym.policies.vllm")
    made = vllm.VLLMModel(
        folder, context=CONTEXT, max_num_seqs=32, dtype=DTYPE, enforce_eager=True, gpu_memory_utilization=MEMORY
    )
    yield made
    runner.run(made.close())


def spied(model: Any) -> list[tuple[list[int], list[int]]]:
    """What vLLM itself says of each request from now on: the tokens of its prompt and of its output."""
    engine, seen = model._started(), list[tuple[list[int], list[int]]]()
    generate = type(engine).generate

    async def spy(*args: Any, **kwargs: Any) -> Any:
        async for output in generate(engine, *args, **kwargs):
            if output.finished:
                seen.append((list(output.prompt_token_ids), list(output.outputs[0].token_ids)))
            yield output

    engine.generate = spy
    return seen


def family_task(number: int) -> Task:
    from termgym.family import find_family

    return find_family("files/rename-by-date").task(number, 1)


def test_32_episodes_have_the_tokens_that_vllm_reports(model: Any, runner: asyncio.Runner, folder: str) -> None:
    async def play() -> tuple[list[Trajectory], list[tuple[list[int], list[int]]]]:
        seen = spied(model)
        limits = Limits(turns=3, wall_s=0)
        attempts = [
            Attempt(family_task(n), lambda task, seed: Agent(model, SHORT, seed), n, limits=limits) for n in range(32)
        ]
        return [one async for one in Rollout(attempts, concurrency=32)], seen

    done, seen = runner.run(play())
    assert len(done) == 32 and all(one.valid for one in done), [one.error for one in done if not one.valid]
    recorded = [pair for one in done for pair in contexts(one)]
    assert len(recorded) > 32 and sorted(recorded) == sorted(seen)
    for one in done:
        (sample,) = samples(one)  # nothing was tokenized again: every turn begins with all before it
        prompt, emitted = list(contexts(one))[-1]
        assert sample.token_ids.tolist() == [*prompt, *emitted]
        assert int(sample.loss_mask.sum()) == one.tokens
    _check_logprobs(folder, done[:4])


def _check_logprobs(folder: str, done: Sequence[Trajectory]) -> None:
    """The recorded logprobs are near those that transformers computes; bfloat16 and other kernels differ a little."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for one in done:
        (sample,) = samples(one)
        ids, mask = torch.tensor(sample.token_ids.astype("int64")), torch.tensor(sample.loss_mask)
        with torch.no_grad():
            logits = model(ids[None]).logits[0, :-1].float().log_softmax(-1)
        wanted = torch.cat([torch.zeros(1), logits.gather(1, ids[1:, None])[:, 0]])[mask]
        difference = (wanted - torch.tensor(sample.logprobs)[mask]).abs()
        assert difference.mean() < 0.1, difference.mean()


def test_new_weights_are_taken_in_place(model: Any, runner: asyncio.Runner, folder: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    prompt = model.chat.opened([import_module("termgym.policy").Message("user", "Say what a terminal is.")])
    greedy = Sampling(temperature=0, max_tokens=12)
    changed = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    with torch.no_grad():
        changed.model.layers[3].mlp.down_proj.weight.mul_(0.2)
    changed.save_pretrained(tmp_path)

    async def answers() -> list[Any]:
        before = await model.complete(prompt, greedy, 0)
        await model.update(tmp_path)
        new = await model.complete(prompt, greedy, 0)
        await model.update(folder)
        return [before, new, await model.complete(prompt, greedy, 0)]

    before, new, back = runner.run(answers())
    assert before.token_ids == back.token_ids and before.logprobs == pytest.approx(back.logprobs, abs=0.02)
    assert [one.version for one in (before, new, back)] == [0, 1, 2]
    with torch.no_grad():
        wanted = changed.float()(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)[new.token_ids[0]]
    assert new.logprobs[0] == pytest.approx(float(wanted), abs=0.15) != pytest.approx(before.logprobs[0], abs=0.02)


def test_it_sleeps_and_wakes(model: Any, runner: asyncio.Runner) -> None:
    """On a CPU vLLM frees nothing, yet what it is asked must be right."""

    async def nap() -> Any:
        await model.sleep()
        await model.wake()
        return await model.complete([1, 2, 3], SHORT, 0)

    assert runner.run(nap()).token_ids


@pytest.fixture(scope="module")
def server(folder: str, model: Any, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    runner.run(model.close())  # two would not fit side by side
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"model": folder, "host": "127.0.0.1", "port": port, "max-model-len": CONTEXT, "max-num-seqs": 16,
               "dtype": DTYPE, "gpu-memory-utilization": MEMORY, "logprobs-mode": "processed_logprobs"}  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager", *words]
    log, env = tmp_path_factory.mktemp("server") / "log", os.environ | {"VLLM_SERVER_DEV_MODE": "1"}
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, env=env) as process:
        try:
            _await_up(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _await_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


@pytest.mark.parametrize("policy", ["vllm", "openai"])
def test_a_server_tells_tokens_too(policy: str, server: str, folder: str, runner: asyncio.Runner) -> None:
    more: dict[str, Any] = {"context": CONTEXT, "seeded": False} if policy == "vllm" else {"tokens": True}
    options = {"endpoint": server, "model": folder, "max_tokens": 64, **more}

    async def play() -> list[Trajectory]:
        run = rollout(policy, [TASK], group_size=6, options=options, limits=Limits(turns=3, wall_s=0), concurrency=6)
        return [one async for one in run]

    done = runner.run(play())
    assert len(done) == 6 and all(one.valid and one.tokens for one in done), [one.error for one in done]
    for one in done:
        found = samples(one)
        assert sum(int(sample.loss_mask.sum()) for sample in found) == one.tokens
        assert all(sample.logprobs[sample.loss_mask].max() <= 0 for sample in found)
        if policy == "vllm":
            assert len(found) == 1
    if policy == "vllm":
        _check_logprobs(folder, done[:2])


def test_a_server_takes_new_weights(server: str, folder: str, runner: asyncio.Runner) -> None:
    vllm: Any = import_module("termgym.policies.vllm")
    made = vllm.VLLMServer(server, folder, context=CONTEXT, seeded=False)

    async def update() -> list[Any]:
        before = await made.complete([1, 2, 3], Sampling(temperature=0, max_tokens=4), 0)
        await made.update(folder)
        await made.sleep()
        await made.wake()
        after = await made.complete([1, 2, 3], Sampling(temperature=0, max_tokens=4), 0)
        await made.close()
        return [before, after]

    before, after = runner.run(update())
    assert before.token_ids == after.token_ids and (before.version, after.version) == (0, 1)
