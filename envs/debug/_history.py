"""A git repository made by a generator, which computes the names of its objects as git does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit with all its files."""

    number: int
    name: str
    who: str
    at: int
    message: str
    files: Mapping[str, str]
    parents: "tuple[Commit, ...]"


@dataclass(slots=True)
class History:
    """A repository as it grows."""

    commits: list[Commit] = field(default_factory=list[Commit])

    def add(self, who: str, at: int, message: str, files: Mapping[str, str], *parents: Commit) -> Commit:
        """One more commit, by the same author and committer."""
        lines = [f"tree {tree_name(files)}", *(f"parent {parent.name}" for parent in parents)]
        lines += [f"{role} {_ident(who, at)}" for role in ("author", "committer")]
        name = _name("commit", "\n".join([*lines, "", message, ""]).encode())
        commit = Commit(len(self.commits), name, who, at, message, files, parents)
        self.commits.append(commit)
        return commit

    def stream(self, branch: str, tags: Mapping[str, Commit]) -> str:
        """All of it for git fast-import; the branch is at the last commit."""
        resets = (f"reset refs/tags/{tag}\nfrom :{commit.number + 1}\n" for tag, commit in tags.items())
        return "".join([*(_stream(branch, commit) for commit in self.commits), *resets])


def tree_name(files: Mapping[str, str]) -> str:
    """The name of the tree that has just these files."""
    entries = [(path, _name("blob", files[path].encode())) for path in sorted(files)]
    return _name("tree", b"".join(f"100644 {path}\0".encode() + bytes.fromhex(oid) for path, oid in entries))


def _name(kind: str, data: bytes) -> str:
    return sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


def _ident(who: str, at: int) -> str:
    return f"{who} <{who.split()[0].lower()}@example.org> {at} +0000"


def _stream(branch: str, commit: Commit) -> str:
    ident = _ident(commit.who, commit.at)
    old: Mapping[str, str] = commit.parents[0].files if commit.parents else {}
    parts = [f"commit refs/heads/{branch}\nmark :{commit.number + 1}\nauthor {ident}\ncommitter {ident}\n"]
    parts.append(_data(f"{commit.message}\n"))
    parts += [f"{'merge' if at else 'from'} :{parent.number + 1}\n" for at, parent in enumerate(commit.parents)]
    changed = [path for path, text in commit.files.items() if old.get(path) != text]
    return "".join([*parts, *(f"M 100644 inline {path}\n{_data(commit.files[path])}" for path in changed)])


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
