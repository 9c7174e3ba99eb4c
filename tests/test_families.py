"""The contract of every family: the gates, at seeds that nobody recorded, and what the record says."""

import itertools
import re

import pytest

from termgym import aio, proof
from termgym.candidate import of_family
from termgym.errors import TaskError, UnknownName
from termgym.family import families, family_names, find_family
from termgym.gates import GATES
from termgym.launcher_client import close_launcher
from termgym.query import Query
from termgym.skill import SKILLS
from termgym.source import TaskSource, missing
from termgym.split import HELD_OUT, SPLITS, of_split
from termgym.task import DOMAINS
from termgym.validate import Validation, proofs_of, validations

NAMES = family_names()
QUICK, SLOW = (1000,), range(2000, 2010)
"""Seeds, of whose levels every run tries one and CI all."""


def tried(name: str, seeds: range | tuple[int, ...], offset: int = 0) -> list[Validation]:
    family = find_family(name)
    assert not missing(family.requires), f"{name} needs programs that this host lacks"
    wanted = [of_family(family, seed, 1 + (seed + offset) % family.levels) for seed in seeds]

    async def gather() -> list[Validation]:
        try:
            return [one async for one in validations(wanted, concurrency=2)]
        finally:
            await close_launcher()

    return aio.run(gather())


def complaints(found: list[Validation]) -> list[str]:
    """What failed; how quick a family is, is asked of the median over its levels, not of one task."""
    (proven,) = proofs_of(found)
    failed = [(one.task, name, gate) for one in found for name, gate in one.gates.items() if name != "quick"]
    reasons = [f"{task}: {name}: {gate.reason}" for task, name, gate in failed if not gate.passed]
    if reasons or proven.passed or len(found) == 1:
        return reasons
    return [f"made in {proven.generate_ms} ms, judged in {proven.verify_ms} ms"]


@pytest.mark.parametrize("name", NAMES)
def test_the_gates_hold(name: str) -> None:
    found = tried(name, QUICK, len(name))
    assert not complaints(found)
    assert all(tuple(one.gates) == GATES for one in found)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_the_gates_hold_at_every_level(name: str) -> None:
    assert not complaints(tried(name, SLOW))


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str) -> None:
    family = find_family(name)
    assert family.domain in DOMAINS and family.summary.endswith(".") and len(family.skills) >= 1
    assert set(family.skills_at(family.levels)) <= set(SKILLS)
    assert len(family.skills_at(family.levels)) > len(family.skills_at(1)), "higher levels compose no more skills"
    easy, hard = family.task(0, 1), family.task(0, family.levels)
    assert (len(hard.oracle), len(hard.checks)) > (len(easy.oracle), len(easy.checks)) or hard.digest != easy.digest
    checks = hard.checks
    assert len({check.name for check in checks}) == len(checks) >= 3 - (name == "git/surgery")
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", check.name) for check in checks)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_task_and_other_seeds_others(name: str) -> None:
    family = find_family(name)
    made = [family.task(seed, level).digest for seed in range(8) for level in (1, 2)]
    assert made == [family.task(seed, level).digest for seed in range(8) for level in (1, 2)]
    assert len(set(made)) == len(made)
    assert len({family.task(seed).instruction for seed in range(12)}) >= 4


def test_every_domain_has_families() -> None:
    assert {family.domain for family in families().values()} == set(DOMAINS)


# What is recorded of them.


def test_the_record_is_that_of_today() -> None:
    """After a change to a family: termgym validate --all --n 10 --record docs/TASKS.md."""
    assert not {name: why for name, family in families().items() if (why := proof.reason(family))}
    page = proof.path().parents[1] / "docs" / "TASKS.md"
    assert page.read_text(encoding="utf-8") == proof.page()


def test_a_family_without_a_proof_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {name: one for name, one in proof.proofs().items() if name != NAMES[0]}
    monkeypatch.setattr(proof, "proofs", lambda: kept)
    proof.proven.cache_clear()
    try:
        assert set(proof.proven()) == set(NAMES[1:])
        assert proof.reason(find_family(NAMES[0])) == "its gates were never tried"
        assert find_family(NAMES[0]) not in TaskSource().choices
        assert TaskSource(NAMES[0]).choices  # by its name it can be had
    finally:
        proof.proven.cache_clear()


# Queries and splits.


def test_a_query_finds_families_by_what_they_compose() -> None:
    found = Query.parse("domain=security skills=checksums level=3").families()
    assert "security/manifest-audit" in {family.name for family in found}
    assert all(family.domain == "security" and "checksums" in family.skills_at(3) for family in found)
    assert not Query.parse("domain=security skills=checksums,hmac level=3").families()
    assert Query.parse("domain=security skills=checksums,hmac level=4").families()
    source = TaskSource("domain=security skills=checksums level=3")
    assert source.level == 3 and source.choices


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("domain=securty", "did you mean security?"),
        ("skills=checksum", "did you mean checksums"),
        ("level=three", "level is 'three'; expected a number"),
        ("levl=3", "did you mean level?"),
        ("split=tran", "did you mean train?"),
        ("domain=games skills=sql", "there are no tasks"),
    ],
)
def test_bad_queries_say_what_was_meant(text: str, error: str) -> None:
    with pytest.raises((TaskError, UnknownName)) as caught:
        TaskSource(text)
    assert error in str(caught.value)


def test_queries_of_two_levels_need_one_given() -> None:
    with pytest.raises(TaskError, match="levels 2, 3; give one"):
        TaskSource(["domain=games level=2", "domain=maths level=3".replace("maths", "mathematics")])


def test_splits_are_disjoint() -> None:
    ranges = sorted((split.seeds.start, split.seeds.stop) for split in SPLITS.values())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))
    held = [name for names in HELD_OUT.values() for name in names]
    assert len(held) == len(set(held)) and set(held) <= set(NAMES)
    train, test = (of_split(SPLITS[name], families().values()) for name in ("train", "test"))
    assert not {family.name for family in train} & HELD_OUT["test"]
    assert HELD_OUT["test"] <= {family.name for family in test}
    assert {family.domain for family in train} == set(DOMAINS)
