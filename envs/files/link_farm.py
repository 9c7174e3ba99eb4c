"""Packages are installed by links into their folders; the links have gone wrong, and have to be put right.

Level 2 has links that lead nowhere, level 3 absolute links that must become relative, level 4 files that several
packages have (a list says who wins), level 5 packages to be taken out, and
a folder of the farm that has become a link.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from random import Random

from termgym.checks import GONE, Entry, Folder, Link, Regular, count, entries
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, SERVICES, token
from termgym.task import File, Limits

ASKS = (
    "{farm} should hold links to the files of the packages in {depot}, and does not. Put it right.\n\n{rules}\n",
    "Rebuild the link farm {farm} over the packages in {depot}.\n\n{rules}\n",
    (
        "{depot} has packages; their files show up in {farm} by symbolic links. Someone broke that. It should be as"
        " follows.\n\n{rules}\n"
    ),
    "By these rules {farm} follows from {depot}; make it so.\n\n{rules}\n",
)
RULES = {
    1: "- For each file {depot}/PACKAGE/PATH there is a link {farm}/PATH to it.",
    2: (
        "- There is nothing else in {farm} but these links, the folders that they need, and regular files, which stay"
        " as they are."
    ),
    3: "- A link's target is the shortest relative path from the link's own folder ({example}).",
    4: (
        "- Where several packages have the same PATH, the one wins that comes first in {depot}/order.txt (a name per"
        " line)."
    ),
    5: (
        "- Packages that are listed in {depot}/retired.txt take no part. Folders in {farm} are real folders, never"
        " links."
    ),
}
ABSOLUTE = "- A link's target is the absolute path of the file."


@dataclass(frozen=True, slots=True)
class Depot:
    """Package -> path -> content; the order of who wins, and who takes no part."""

    packages: Mapping[str, Mapping[str, str]]
    order: Sequence[str]
    retired: Sequence[str]

    def owners(self) -> dict[str, str]:
        """Path -> the package that it is linked to."""
        found: dict[str, str] = {}
        for package in reversed(self.order):
            if package not in self.retired:
                found |= dict.fromkeys(self.packages[package], package)
        return found


def generate(rng: Random, level: int) -> Draft:
    """One farm over some packages."""
    base = f"/{rng.choice(('opt', 'srv', 'app'))}"
    depot, farm = (
        f"{base}/{rng.choice(('depot', 'stow', 'packages', 'cellar'))}",
        f"{base}/{rng.choice(('local', 'farm', 'current', 'env'))}",
    )
    made = _depot(rng, level)
    owners = made.owners()
    wanted: dict[str, Entry] = {
        f"{farm}/{path}": Link(_target(depot, farm, owner, path, level)) for path, owner in owners.items()
    }
    own = (
        {f"{farm}/etc/site.conf": "mine\n", f"{farm}/notes.txt": "do not delete\n"}
        if level > 1
        else {f"{farm}/README": "a farm\n"}
    )
    example = f"{farm}/x/y links to {relpath(f'{depot}/p/x/y', f'{farm}/x')}"
    rules = [RULES[one] for one in range(1, level + 1)] + ([ABSOLUTE] if level < 3 else [])
    files = {
        f"{depot}/{package}/{path}": text for package, paths in made.packages.items() for path, text in paths.items()
    }
    files |= {f"{depot}/order.txt": "".join(f"{one}\n" for one in made.order)} if level > 3 else {}
    files |= {f"{depot}/retired.txt": "".join(f"{one}\n" for one in made.retired)} if level > 4 else {}
    contested = [path for path in owners if sum(path in paths for paths in made.packages.values()) > 1]
    groups = {
        "links": {path: entry for path, entry in wanted.items() if path.removeprefix(f"{farm}/") not in contested},
        "winners": {f"{farm}/{path}": wanted[f"{farm}/{path}"] for path in contested},
        "nothing-stale": (
            {f"{farm}/{path}": GONE for path in _stale(made, owners)}
            | dict(list(wanted.items())[:2])
            | {f"{farm}/bin": Folder()}
        ),
        "own-files": {path: Regular(text.encode()) for path, text in own.items()} | dict(list(wanted.items())[:1]),
    }
    oracle = _oracle(depot, farm, level)
    return Draft(
        instruction=rng.choice(ASKS).format(
            farm=farm, depot=depot, rules="\n".join(rules).format(farm=farm, depot=depot, example=example)
        ),
        checks=(
            *(entries(name, group, 2 if name == "links" else 1) for name, group in groups.items() if group),
            count("nothing-else", farm, len(wanted) + len(own)),
        ),
        oracle=oracle,
        wrong=_wrong(oracle, depot, farm, level),
        files={path: File.of(text) for path, text in (files | own).items()},
        setup=_setup(rng, made, owners, depot, farm, level),
        limits=Limits(turns=40),
        workdir=base,
    )


def _target(depot: str, farm: str, owner: str, path: str, level: int) -> str:
    full = f"{depot}/{owner}/{path}"
    return relpath(full, f"{farm}/{path}".rpartition("/")[0]) if level > 2 else full


def _stale(made: Depot, owners: Mapping[str, str]) -> list[str]:
    gone = {path for package in made.retired for path in made.packages[package]} - owners.keys()
    return sorted({"bin/ghost", "lib/old.so", *gone})


def _depot(rng: Random, level: int) -> Depot:
    names = rng.sample(SERVICES, 3 + level)
    folders = ("bin", "lib", "share/doc", "share/man/man1", "etc")
    packages: dict[str, dict[str, str]] = {}
    for name in names:
        paths = {
            f"{folder}/{name}-{item}": token(rng) + "\n"
            for folder, item in zip(rng.sample(folders, 2 + level // 3), rng.sample(ITEMS, 5), strict=False)
        }
        packages[name] = {f"bin/{name}": token(rng) + "\n", **paths}
    for number in range(level - 2 if level > 3 else 0):
        path = f"share/doc/{rng.choice(ITEMS)}.txt"
        for name in names[number : number + 3]:
            packages[name][path] = f"{name} {path}\n"
    return Depot(
        packages,
        rng.sample(names, len(names)) if level > 3 else sorted(names),
        rng.sample(names, 2) if level > 4 else [],
    )


def _setup(rng: Random, made: Depot, owners: Mapping[str, str], depot: str, farm: str, level: int) -> str:
    """The farm as it is found: some links right, some missing, some wrong in each of the ways of the level."""
    lines = [f"cd / && mkdir -p {farm}/bin {farm}/lib"]
    others = list(made.packages)
    for number, (path, owner) in enumerate(sorted(owners.items())):
        target = _target(depot, farm, owner, path, level)
        if number % 4 == 1:
            continue
        if number % 4 == 2:
            target = f"{depot}/{rng.choice(others)}/{path}" if level < 3 else f"{depot}/{owner}/{path}"
        if number % 4 == 3 and level > 1:
            target = target.replace("bin/", "sbin/").replace("share/", "shared/")
        lines.append(f"mkdir -p {farm}/{path.rpartition('/')[0]}; ln -s {target} {farm}/{path}")
    lines += [f"ln -s {depot}/gone/bin/ghost {farm}/bin/ghost; ln -s old.so {farm}/lib/old.so"]
    for package in made.retired:
        lines += [f"ln -s {depot}/{package}/bin/{package} {farm}/bin/{package}"]
    if level > 4:
        package = next(name for name in made.order if name not in made.retired)
        lines += [f"rm -rf {farm}/share; ln -s {depot}/{package} {farm}/share"]
    return "\n".join([*lines, ""])


def _oracle(depot: str, farm: str, level: int) -> tuple[str, ...]:
    order = f"tac {depot}/order.txt" if level > 3 else f"ls -r {depot}"
    retired = f" | grep -vxFf {depot}/retired.txt" if level > 4 else ""
    link = "ln -sfr" if level > 2 else "ln -sf"
    return (
        f"find {depot} | head -n 30; ls -RF {farm} | head -n 40\n",
        f"cat {depot}/*.txt\n" if level > 3 else f"ls {depot}\n",
        f"find {farm} -type l -delete\n",
        (
            f"for p in $({order}{retired}); do (cd {depot}/$p && find . -type f) | sed 's,^./,,' | while read -r f; do"
            f" mkdir -p $(dirname {farm}/$f); {link} {depot}/$p/$f {farm}/$f; done; done\n"
        ),
        f"find {farm} -printf '%p -> %l\\n' | tail -n 20\n",
    )


def _wrong(oracle: tuple[str, ...], depot: str, farm: str, level: int) -> dict[str, tuple[str, ...]]:
    link = "ln -sfr" if level > 2 else "ln -sf"
    wrong = {
        "copied": tuple(keys.replace(link, "cp -f") for keys in oracle),
        "stale-links-left": (oracle[0], oracle[1], f"ls {farm}/bin\n", *oracle[3:]),
        "own-files-lost": tuple(keys.replace("-type l -delete", "-mindepth 1 -delete") for keys in oracle),
        "one-package": tuple(keys.replace("done; done\n", "done; break; done\n") for keys in oracle),
    }
    if level > 2:
        wrong["absolute"] = tuple(keys.replace(link, "ln -sf") for keys in oracle)
    if level > 3:
        wrong["last-wins"] = tuple(keys.replace("tac ", "cat ") for keys in oracle)
    return wrong


FAMILY = Family(
    name="files/link-farm",
    summary="Put a farm of symbolic links over packages right again, by rules of who wins.",
    domain="file_operations",
    skills=("symlinks", "file-trees", "shell-loops"),
    deeper={4: ("joins",), 5: ("validation",)},
    generate=generate,
)
