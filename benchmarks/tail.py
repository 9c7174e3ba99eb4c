"""Lock-step against send and recv, where a few actions take long: what one slow environment costs the others.

64 environments; each action sleeps inside its sandbox: 5 ms, but one in fifty from 1 s to 2 s, by a Pareto distribution
of exponent 1.5 cut off at 2 s. The k-th action of an environment sleeps the same in both arms, by a seed. One arm is
Gymnasium's `step`, which waits for all; the other is `send` and `recv` of 16 at a time. They take turns of a few
seconds, and begin each with every environment idle; what `recv` has not handed out at the end of a turn does not count.

The optimum is that of a machine that takes no time for anything but sleeping as long as these actions did: 64 in the
mean of each step's longest for `step`, 64 in the mean of all for `send` and `recv`.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
import report
from latency import action
from report import Row, Samples
from throughput import vector

from termgym.vector import TerminalVectorEnv

COUNT, BATCH = 64, 16
USUAL_S, RARE = 0.005, 0.02
SHORTEST_S, LONGEST_S, EXPONENT = 1.0, 2.0, 1.5
SEED = 7


def draws(number: int) -> Iterator[float]:
    """How long the actions of environment `number` sleep, one after another."""
    random = np.random.default_rng([SEED, number])
    cut = 1 - (SHORTEST_S / LONGEST_S) ** EXPONENT
    while True:
        rare, place = random.random(2)
        yield SHORTEST_S * (1 - place * cut) ** (-1 / EXPONENT) if rare < RARE else USUAL_S


class Arm:
    """The actions of one arm, and when each was sent."""

    def __init__(self, samples: Samples, name: str) -> None:
        self.env = vector(COUNT, batch_size=BATCH)
        self.samples, self.name = samples, name
        self.draws = [draws(number) for number in range(COUNT)]
        self.sent = np.zeros(COUNT)
        self.slept: list[list[float]] = []
        self.env.reset()

    def next(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """The next actions of some environments, sent now."""
        self.sent[ids] = time.perf_counter()
        self.slept.append([next(self.draws[number]) for number in ids])
        return [action(f"sleep {seconds:.4f}\n") for seconds in self.slept[-1]]

    def took(self, ids: Sequence[int] | np.ndarray) -> None:
        """Note how long each of them waited for its observation."""
        now = time.perf_counter()
        for number in ids:
            self.samples.add(f"{self.name} wait", now - self.sent[number])


def lock_step(arm: Arm, seconds: float) -> float:
    """Actions a second, with the last step to its end."""
    done, everyone, begin = 0, range(COUNT), time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        infos = arm.env.step(arm.next(everyone))[4]
        assert all(settled == ["prompt"] for settled in infos["settled"]), infos["settled"]
        arm.took(everyone)
        done += COUNT
    return done / elapsed


def send_recv(arm: Arm, seconds: float) -> float:
    """The same with `send` and `recv`; what is left under way is waited for afterwards, and does not count."""
    done, ids, begin = 0, np.arange(COUNT), time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        arm.env.send(arm.next(ids), ids)
        ids = arm.env.recv()[4]["env_id"]
        arm.took(ids)
        done += len(ids)
    drain(arm.env)
    return done / elapsed


def drain(env: TerminalVectorEnv) -> None:
    """Wait until nothing is under way."""
    while env._crew.awaited:
        env.recv()


def measure(turns: int, seconds: float) -> Samples:
    """Both arms, in turn."""
    samples = Samples()
    arms: dict[str, Callable[[Arm, float], float]] = {"step": lock_step, "send": send_recv}
    made = {name: Arm(samples, name) for name in arms}
    with closing(made["step"].env), closing(made["send"].env):
        for _ in range(turns):
            for name, play in arms.items():
                samples.put(name, play(made[name], seconds))
    samples.put("step optimum", COUNT / float(np.mean([max(slept) for slept in made["step"].slept])))
    samples.put("send optimum", COUNT / float(np.concatenate(made["send"].slept).mean()))
    return samples


def targets(measured: dict[str, dict[str, float]]) -> dict[str, tuple[str, bool]]:
    """The target, and whether it is met."""
    return {"send": (">= 5 x step", measured["send"]["median"] >= 5 * measured["step"]["median"])}


ROWS = (
    Row("step optimum", "step, at best"),
    Row("step", "step, in lock-step", "step optimum"),
    Row("send optimum", "send and recv, at best"),
    Row("send", f"send and recv, {BATCH} at a time", "step"),
    Row("step wait", "step: from an action to its observation", unit="ms"),
    Row("send wait", "send and recv: the same", "step wait", unit="ms"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down. Exits with 0 also where the target is missed."""
    args = report.parser("tail", __doc__).parse_args(argv)
    machine = report.machine()
    turns, seconds = (1, 5.0) if args.quick else (2, 15.0)
    samples = measure(turns, seconds)
    notes = [f"{turns} x {seconds:.0f} s for each arm; {COUNT} environments."]
    table = report.rows(ROWS, samples, targets, "")
    result = {"title": "Heavy tail", "unit": "actions per second", "machine": machine, "notes": notes}
    report.publish("tail", args, {**result, "rows": table})
    return 0


if __name__ == "__main__":
    sys.exit(main())
