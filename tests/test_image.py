# ruff: noqa: E501 - what archives hold reads better on one line
"""The image store: what it takes in, what it makes of it, and attacks by what strangers put into archives."""

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from termgym.cli import app
from termgym.errors import ImageError, TaskError, UnknownName
from termgym.image import Account, Image
from termgym.image.archive import ARCHITECTURE
from termgym.image.store import Store, full_name, image_of
from termgym.image.stream import Budget
from termgym.launcher import layers as stack
from termgym.pool import Order
from termgym.sandbox import SandboxSpec
from tests.images import (
    blob,
    configuration,
    docker_members,
    dump,
    entry,
    folder,
    hard,
    lay_out,
    link,
    made,
    oci_members,
    save,
    sha,
    tar,
)

ROOT = os.geteuid() == 0
CHARACTER, BLOCK = tarfile.CHRTYPE, tarfile.BLKTYPE


def tree(path: Path) -> str:
    """A hash over all that is in a folder."""
    told = hashlib.sha256()
    for found in sorted(path.rglob("*")):
        status = found.lstat()
        content = found.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        told.update(
            repr((str(found), status.st_mode, status.st_uid, status.st_nlink, status.st_mtime, content)).encode()
        )
    return told.hexdigest()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What no archive may touch."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("of the host\n")
    (path / "victim").write_text("of the host\n")
    return path


@pytest.fixture
def store(tmp_path: Path, outside: Path) -> Iterator[Store]:
    """A store that is whole at the end, with nothing left of an import, and nothing changed beside it."""
    before = tree(outside)
    made = Store(tmp_path / "store")
    yield made
    assert tree(outside) == before
    if made.folder.exists():
        assert not list((made.folder / "tmp").iterdir())
        assert all(layer.is_dir() for image in made.list().values() for layer in image.layers)
        assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700


def refused(store: Store, path: Path, match: str | None, budget: Budget | None = None) -> None:
    with pytest.raises(ImageError, match=match):
        store.import_archive(path, "bad", budget)
    assert not store.list() and not list((store.folder / "layers").iterdir())


def shown(image: Image, path: str) -> list[str]:
    """The names in a folder, as the layers on each other show them."""
    found = stack.find([str(layer) for layer in reversed(image.layers)], path)
    return [name for name in stack.names(found) if stack.find(found, name)]


def is_opaque(path: Path) -> bool:
    return "user.overlay.opaque" in os.listxattr(path)


# What an archive becomes.


def test_a_folder_is_imported_whole_whatever_the_sizes_of_its_files(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(2_000):
        (root / f"{number:04}").write_bytes(bytes(number % 3 * 512 + (number % 7 == 6)))
    (layer,) = store.import_folder(root, "sizes").layers
    assert {path.name: path.stat().st_size for path in layer.iterdir()} == {
        path.name: path.stat().st_size for path in root.iterdir()
    }


def test_files_keep_what_they_are(store: Store, tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.tar",
        [
            folder("./", 0o751), folder("./closed", 0o500, mtime=7), entry("./closed/x", "content", mode=0o4755),
            entry("deep/er/x", "x", mode=0o640), link("link", "../../etc/passwd"), link("closed/up", "/etc"),
            hard("same", "closed/x"), entry("fifo", kind=tarfile.FIFOTYPE, mode=0o600), entry("/absolute", "a"),
            entry("n" * 200 + "/" + "m" * 200, "long"), entry("line\n\udcff", "odd"), entry("empty"),
        ],
    )  # fmt: skip
    (root,) = store.import_archive(path, "made").layers
    x = (root / "closed/x").stat()
    assert (stat.S_IMODE(x.st_mode), x.st_mtime, x.st_nlink) == (0o4755, 86_400, 2)
    assert (root / "closed/x").read_text() == "content" and (root / "same").stat().st_ino == x.st_ino
    closed = (root / "closed").stat()
    assert (stat.S_IMODE(closed.st_mode), closed.st_mtime) == (0o500, 7)
    assert stat.S_IMODE(root.stat().st_mode) == 0o751
    assert stat.S_IMODE((root / "deep/er").stat().st_mode) == 0o755
    assert ((root / "link").readlink(), (root / "closed/up").readlink()) == (Path("../../etc/passwd"), Path("/etc"))
    assert stat.S_ISFIFO((root / "fifo").stat().st_mode) and (root / "absolute").read_text() == "a"
    assert (root / ("n" * 200) / ("m" * 200)).read_text() == "long" and (root / "line\n\udcff").read_text() == "odd"


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_owners_are_the_tars_as_far_as_a_sandbox_has_ids(store: Store, tmp_path: Path) -> None:
    owned = [entry(str(uid), uid=uid, gid=uid + 1) for uid in (0, 1000, 65_534, 65_536, 2**31)]
    (root,) = store.import_archive(made(tmp_path / "a.tar", [*owned, link("l", "x", uid=5, gid=6)]), "made").layers
    owners = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in root.iterdir()}
    assert owners == {
        "0": (0, 1), "1000": (1000, 1001), "65534": (65_534, 65_535), "65536": (65_534, 65_534),
        str(2**31): (65_534, 65_534), "l": (5, 6),
    }  # fmt: skip


def test_whiteouts_hide_what_lower_layers_have(store: Store, tmp_path: Path) -> None:
    image = store.import_archive(
        made(
            tmp_path / "a.tar",
            [entry("etc/gone"), entry("etc/kept"), entry("old/x"), entry("old/sub/y"), entry("file/x"), entry("again/x")],
            [
                entry("etc/.wh.gone"), entry("old/.wh..wh..opq"), entry("old/new"), entry(".wh.file"), entry("file", "f"),
                entry(".wh.again"), folder("again"), entry("again/y"), entry(".wh..wh.plnk/1.2"), entry(".wh..wh.aufs"),
                hard("etc/.wh.linked", ".wh..wh.aufs"),
            ],
            [entry("old/top"), folder("early"), entry("early/x"), entry(".wh.early"), entry(".wh.implied"), entry("implied/x")],
        ),
        "made",
    )  # fmt: skip
    assert shown(image, "etc") == ["kept"]
    assert shown(image, "old") == ["new", "top"]
    assert shown(image, "again") == ["y"] and is_opaque(image.layers[1] / "again")
    assert shown(image, "early") == ["x"] and is_opaque(image.layers[2] / "early")
    assert shown(image, "implied") == ["x"] and is_opaque(image.layers[2] / "implied")
    assert (image.layers[1] / "file").read_text() == "f"
    gone = (image.layers[1] / "etc/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    assert sorted(path.name for path in image.layers[1].iterdir()) == ["again", "etc", "file", "old"]


def test_the_last_of_a_name_counts(store: Store, tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.tar",
        [
            entry("x", "1"), entry("x", "22"), folder("d"), entry("d/e/f"), entry("d", "file"), link("l", "/etc"), folder("l"),
            entry("l/x"), entry("g"), folder("g", 0o711), hard("late", "h"), entry("h", "h"), entry("i"), hard("i", "h"),
        ],
    )  # fmt: skip
    (root,) = store.import_archive(path, "made").layers
    assert (root / "x").read_text() == "22" and (root / "d").read_text() == "file"
    assert (root / "l").is_dir() and not (root / "l").is_symlink() and (root / "l/x").exists()
    assert stat.S_IMODE((root / "g").stat().st_mode) == 0o711
    assert (root / "late").read_text() == (root / "i").read_text() == "h"


@pytest.mark.parametrize("form", ["docker", "oci", "both", "oci folder", "both folder", "docker.gz", "oci.xz"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_every_form_gives_the_same_image(
    store: Store, tmp_path: Path, form: str, packed: Callable[[bytes], bytes]
) -> None:
    layers = [tar(entry("a", "x" * 100_000)), tar(entry("b")), tar(entry("a", "top"))]
    config = configuration(layers, Env=["A=1", "PATH=/x"], WorkingDir="/w", User="7", Entrypoint=["/e"], Cmd=["c"])
    oci, docker = oci_members(layers, config, packed), docker_members([packed(layer) for layer in layers], config)
    members = {"docker": docker, "oci": oci, "both": {**docker, **oci}}[form.split()[0].partition(".")[0]]
    path = lay_out(tmp_path / "a", members) if "folder" in form else save(tmp_path / "a", members)
    if "." in form:
        path.write_bytes((gzip.compress if "gz" in form else lzma.compress)(path.read_bytes()))
    image = store.import_archive(path, "made:1")
    assert image.digest == sha(config) and [layer.name for layer in image.layers] == [sha(layer) for layer in layers]
    assert image == store.find("made:1") == store.find(image.digest) == store.find(f"sha256:{image.digest[:9]}")
    assert dict(image.env) == {"A": "1", "PATH": "/x"}
    assert (image.workdir, image.user, image.entrypoint, image.cmd) == ("/w", "7", ("/e",), ("c",))


def test_a_layer_that_comes_twice_lies_where_it_is_seen(store: Store, tmp_path: Path) -> None:
    first, second = tar(entry("a", "1")), tar(entry("a", "2"))
    layers = [first, second, first]
    members = docker_members(layers, configuration(layers))
    del members["2/layer.tar"]
    image = store.import_archive(save(tmp_path / "a", members, link("2/layer.tar", "../0/layer.tar")), "made")
    assert [layer.name for layer in image.layers] == [sha(second), sha(first)]


def test_the_image_is_this_machines(store: Store, tmp_path: Path) -> None:
    def index(*platforms: tuple[str, str]) -> Path:
        blobs: dict[str, bytes] = {}
        listed = []
        for number, (system, machine) in enumerate(platforms):
            layer = tar(entry("number", str(number)))
            config = configuration([layer]).replace(ARCHITECTURE.encode(), machine.encode())
            manifest = {"config": blob(blobs, config), "layers": [blob(blobs, layer)]}
            listed.append(blob(blobs, dump(manifest), platform={"os": system, "architecture": machine}))
        nested = blob(blobs, dump({"manifests": listed}))
        return save(tmp_path / "a.tar", {"index.json": dump({"manifests": [nested]}), **blobs})

    image = store.import_archive(index(("linux", "s390x"), ("linux", ARCHITECTURE), ("unknown", "unknown")), "made")
    assert (image.layers[0] / "number").read_text() == "1"
    with pytest.raises(ImageError, match=f"no image for linux/{ARCHITECTURE}"):
        store.import_archive(index(("linux", "s390x"), ("windows", ARCHITECTURE)), "other")
    layer = tar(entry("x"))
    config = configuration([layer]).replace(ARCHITECTURE.encode(), b"s390x")
    with pytest.raises(ImageError, match="for linux/s390x; this machine is linux/"):
        store.import_archive(save(tmp_path / "b", docker_members([layer], config)), "other")


def test_of_several_images_the_name_decides(store: Store, tmp_path: Path) -> None:
    def several(names: list[str]) -> dict[str, bytes]:
        parts = [docker_members([tar(entry(name))], configuration([tar(entry(name))]), [name]) for name in names]
        manifest = [{**json.loads(part["manifest.json"])[0], "Layers": [f"{i}.tar"]} for i, part in enumerate(parts)]
        configs = {name: data for part in parts for name, data in part.items() if name.endswith(".json")}
        layers = {f"{i}.tar": part["0/layer.tar"] for i, part in enumerate(parts)}
        return {**configs, **layers, "manifest.json": dump(manifest)}

    path = save(tmp_path / "a", several(["one:latest", "two:1"]))
    assert (store.import_archive(path, "two:1").layers[0] / "two:1").exists()
    assert (store.import_archive(path, "one").layers[0] / "one:latest").exists()
    with pytest.raises(ImageError, match="2 images, one:latest, two:1; give the name"):
        store.import_archive(path, "three")


def test_a_folder_becomes_one_layer(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/x").write_text("x")
    (root / "bin/x").chmod(0o4751)
    os.link(root / "bin/x", root / "y")
    (root / "etc").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    os.mknod(root / "hidden", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    (root / "closed").mkdir(0o500)
    (root / "\udcff").write_text("odd")
    os.setxattr(root / "bin", "user.overlay.opaque", b"y")
    image = store.import_folder(root, "made")
    (layer,) = image.layers
    assert image.digest == layer.name and image.workdir == "/"
    assert sorted(path.name for path in layer.iterdir()) == ["bin", "closed", "etc", "fifo", "y", "\udcff"]
    assert (layer / "y").stat().st_nlink == 2 and stat.S_IMODE((layer / "y").stat().st_mode) == 0o4751
    assert (layer / "etc").readlink() == Path("/etc") and not is_opaque(layer / "bin")
    assert stat.S_IMODE((layer / "closed").stat().st_mode) == 0o500
    assert store.import_folder(root, "again").digest == image.digest
    (root / "bin/x").write_text("z")
    assert store.import_folder(root, "made").digest != image.digest
    with pytest.raises(ImageError, match="No such file"):
        store.import_folder(tmp_path / "none", "none")


# Names.


def test_names_are_completed_as_docker_does(store: Store, tmp_path: Path) -> None:
    for name, full in {
        "a": "a:latest", "a:1": "a:1", "docker.io/library/a": "a:latest", "host:5000/a": "host:5000/a:latest",
        "a@sha256:12": "a@sha256:12",
    }.items():  # fmt: skip
        assert full_name(name) == full
    for bad in ("", "../x", "/x", ".", "a b", "a\0", "a\n", "x" * 300, "-x"):
        with pytest.raises(ImageError, match="is no name"):
            full_name(bad)
        with pytest.raises((UnknownName, ImageError)):
            store.find(bad)
    path = made(tmp_path / "a.tar", [entry("x")])
    image = store.import_archive(path, "python")
    assert store.find("docker.io/library/python:latest") == image
    with pytest.raises(
        UnknownName, match=r"no image named 'pyton'; did you mean python:latest\?; `termgym image import`"
    ):
        store.find("pyton")
    assert issubclass(UnknownName, TaskError) and issubclass(ImageError, TaskError)


def test_a_prefix_must_mean_one_image(store: Store, tmp_path: Path) -> None:
    digests = [store.import_archive(made(tmp_path / "a.tar", [entry(str(n))]), f"made:{n}").digest for n in range(3)]
    for digest in digests:
        assert store.find(digest[:12]).digest == digest
    entries = store.folder / "images"
    (entries / f"{digests[0][:-1]}z.json").write_text((entries / f"{digests[0]}.json").read_text())
    with pytest.raises(ImageError, match="2 images have a digest"):
        store.find(digests[0][:12])
    with pytest.raises(UnknownName):
        store.find(digests[0][:3])
    (entries / f"{digests[1]}.json").write_text("[]")
    with pytest.raises(ImageError, match="not an object"):
        store.find(digests[1])
    (entries / f"{digests[0][:-1]}z.json").unlink()
    (entries / f"{digests[1]}.json").unlink()
    (store.folder / "names" / "made%3A1").unlink()


def test_removing_and_pruning(store: Store, tmp_path: Path) -> None:
    both = [entry("shared")]
    image = store.import_archive(
        made(tmp_path / "a.tar", both, [entry("x"), folder("closed", 0o500), entry("closed/x")]), "a"
    )
    store.import_archive(made(tmp_path / "a.tar", both, [entry("y")]), "b")
    store.import_archive(made(tmp_path / "a.tar", both, [entry("y")]), "c")
    store.remove("b")
    assert list(store.list()) == ["a:latest", "c:latest"] and store.prune() == []
    store.remove(image.digest[:12])
    assert store.prune() == [image.layers[1].name]
    store.remove("c")
    assert len(store.prune()) == 2 and store.list() == {} and not list((store.folder / "layers").iterdir())
    with pytest.raises(UnknownName, match="known are: none"):
        store.remove("c")


def test_a_name_may_be_given_anew(store: Store, tmp_path: Path) -> None:
    old = store.import_archive(made(tmp_path / "a.tar", [entry("old")]), "a")
    new = store.import_archive(made(tmp_path / "a.tar", [entry("new")]), "a")
    assert store.find("a") == new and store.list() == {"a:latest": new, old.digest: old}


def test_a_process_keeps_to_what_a_name_first_meant(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERMGYM_IMAGES", str(store.folder))
    image = store.import_archive(made(tmp_path / "a.tar", [entry("x")]), "pinned")
    assert image_of("pinned") == image == image_of(image.digest)
    store.import_archive(made(tmp_path / "a.tar", [entry("y")]), "pinned")
    assert image_of("pinned") == image != store.find("pinned")
    begin = time.perf_counter()
    for _ in range(1000):
        image_of("pinned")
    assert time.perf_counter() - begin < 0.1, "a microsecond or two each"
    assert image_of("").layers == () and image_of("~/x").layers == (Path("~/x").expanduser(),)
    assert image_of("./x").layers == (Path.cwd() / "x",)


def test_a_pool_counts_images_by_their_digest(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMGYM_IMAGES", str(store.folder))
    image = store.import_archive(made(tmp_path / "a.tar", [entry("x")]), "keyed")
    other = store.import_archive(made(tmp_path / "a.tar", [entry("x")], Entrypoint=["/x"]), "other")
    keys = {name: Order(SandboxSpec(name)).key for name in ("keyed", image.digest, "other", "", "/root", "/tmp")}
    assert keys["keyed"] == keys[image.digest] and len(set(keys.values())) == 5
    bare = [Order(SandboxSpec(digest, env={"A": "1"}), shell=False).key for digest in (image.digest, other.digest)]
    assert bare[0] == Order(SandboxSpec("keyed"), shell=False).key
    assert bare[1] != Order(SandboxSpec("other"), shell=False).key, "its entry point has seen the environment"
    with pytest.raises(UnknownName):
        Order(SandboxSpec("none")).key  # noqa: B018


# Accounts.

PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\napp:x:1000:1001::/home/app:/bin/sh\n77:x:5:5::/seven:\nbroken:x:x\n\n#c:x:9:9\n"
)
GROUP = "root:x:0:\nstaff:x:50:app,other\nwheel:x:10:app\napp:x:1001:app\nx:x:oops:app\n"


def test_accounts_are_dockers(store: Store, tmp_path: Path) -> None:
    image = store.import_archive(
        made(tmp_path / "a.tar", [entry("etc/passwd", PASSWD), entry("etc/group", GROUP)]), "a"
    )
    app = Account(1000, 1001, (1001, 50, 10), "app", "/home/app")
    root = Account(0, 0, (0,), "root", "/root")
    for user, account in {
        "": root, "root": root, "0": root, "app": app, "1000": app,
        "app:staff": app._replace(gid=50, groups=(50,)), "1000:7": app._replace(gid=7, groups=(7,)),
        "4711": Account(4711, 0, (0,), "4711", "/"), "4711:staff": Account(4711, 50, (50,), "4711", "/"),
        "77": Account(77, 0, (0,), "77", "/"), ":staff": root._replace(gid=50, groups=(50,)),
    }.items():  # fmt: skip
        assert image.account(user) == account, user
    for user, what in {
        "nobody": "user 'nobody'",
        "app:none": "group 'none'",
        "-1": "user '-1'",
        str(2**31): "user",
    }.items():
        with pytest.raises(ImageError, match=f"the image {image.digest} has no {what}"):
            image.account(user)


@pytest.mark.parametrize("number", ["9" * 5000, "4294967295", "2147483648", "\u0661"])
def test_what_is_no_id_is_nobodys(store: Store, tmp_path: Path, number: str) -> None:
    tables = entry("etc/passwd", f"u:x:{number}:1::/:\nv:x:1:{number}::/:\n"), entry("etc/group", f"g:x:{number}:w\n")
    image = store.import_archive(made(tmp_path / "a", [folder("etc"), *tables]), "made")
    for user in ("u", "v", number, "0:g", f"0:{number}"):
        with pytest.raises(ImageError):
            image.account(user)
    assert image.account("0").is_root


def test_accounts_are_of_the_layers_and_no_links(store: Store, tmp_path: Path, outside: Path) -> None:
    (outside / "passwd").write_text("evil:x:0:0::/:\n")
    base = [entry("etc/passwd", PASSWD)]

    def names(*layers: list[tuple[tarfile.TarInfo, bytes]]) -> bool:
        image = store.import_archive(made(tmp_path / "a.tar", *layers), "a")
        with contextlib.suppress(ImageError):
            image.account("evil")
            pytest.fail("it followed a link")
        try:
            return image.account("app").uid == 1000
        except ImageError:
            return False

    assert names(base, [entry("x")]) and names(base, [entry("etc/x")])
    assert not names(base, [entry("etc/.wh.passwd")]) and not names(base, [entry(".wh.etc")])
    assert not names(base, [entry("etc/.wh..wh..opq")]) and not names(base, [entry("etc/passwd", "other:x:1:1::/:")])
    assert not names(base, [entry("etc", "a file")]) and not names(base, [entry("etc/passwd", kind=tarfile.FIFOTYPE)])
    for target in (str(outside), f"../../../../../../../..{outside}"):
        assert not names(base, [link("etc", target)]) and not names([link("etc", target)])
        assert not names([link("etc/passwd", f"{target}/passwd")])
    (outside / "passwd").unlink()
    os.utime(outside)
    image = store.import_archive(made(tmp_path / "a.tar", [entry("x")]), "a")
    assert image.account("root").home == "/root" and image_of("").account("www-data").uid == 33


# Attacks: by paths.


@pytest.mark.parametrize("name", ["../victim", "a/../../victim", "/../victim", "..", "a/..", "./../outside/victim"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_no_path_leads_up(store: Store, tmp_path: Path, name: str, kind: bytes) -> None:
    refused(store, made(tmp_path / "a.tar", [entry("ok"), entry(name, kind=kind, linkname="ok")]), r"`\.\.`")


def test_absolute_paths_are_of_the_layer(store: Store, tmp_path: Path, outside: Path) -> None:
    path = made(tmp_path / "a.tar", [entry(f"{outside}/victim", "evil"), entry(f"//{outside}/new", "evil")])
    (root,) = store.import_archive(path, "made").layers
    assert (root / str(outside)[1:] / "victim").read_text() == "evil"


@pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo", "hard link", "whiteout", "opaque", "deep"])
@pytest.mark.parametrize("target", ["absolute", "relative", "chain", "hard linked"])
def test_nothing_is_written_through_a_link(store: Store, tmp_path: Path, outside: Path, target: str, kind: str) -> None:
    plant = {
        "absolute": [link("l", str(outside))],
        "relative": [link("l", f"../../../../../../../../../..{outside}")],
        "chain": [link("m", str(outside)), link("l", "m")],
        "hard linked": [link("m", str(outside)), hard("l", "m")],
    }[target]
    write = {
        "file": [entry("l/victim", "evil")],
        "folder": [folder("l/new")],
        "link": [link("l/new", "x")],
        "fifo": [entry("l/new", kind=tarfile.FIFOTYPE)],
        "hard link": [entry("x"), hard("l/new", "x")],
        "whiteout": [entry("l/.wh.victim")],
        "opaque": [entry("l/.wh..wh..opq")],
        "deep": [entry("l/a/b/c", "evil")],
    }[kind]
    refused(store, made(tmp_path / "a.tar", [*plant, *write]), "goes through a link or a file")


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(store: Store, tmp_path: Path, outside: Path) -> None:
    path = made(
        tmp_path / "a.tar",
        [
            link("a", f"{outside}/victim"), entry("a", "new"), link("b", str(outside)), folder("b", 0o777), link("c", f"{outside}/victim"),
            entry("x"), hard("c", "x"), link("d", f"{outside}/made"), entry("d", kind=tarfile.FIFOTYPE, mode=0o777),
            link("e", f"{outside}/victim", mtime=5), link("f", str(outside)), entry(".wh.f"),
        ],
    )  # fmt: skip
    (root,) = store.import_archive(path, "made").layers
    assert (root / "a").read_text() == "new" and (root / "b").is_dir() and not (root / "b").is_symlink()
    assert (root / "f").is_symlink(), "what the layer itself has stays"


def test_layers_do_not_meet(store: Store, tmp_path: Path, outside: Path) -> None:
    """A link of one layer is not there when another is unpacked: what goes through it there is a folder of its own."""
    path = made(tmp_path / "a.tar", [link("etc", str(outside))], [entry("etc/victim", "evil"), entry("etc/.wh.secret")])
    image = store.import_archive(path, "made")
    assert (image.layers[1] / "etc/victim").read_text() == "evil"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../etc/passwd", "victim", "folder", "l/secret", "", "self", "gone"]
)
def test_hard_links_are_to_files_of_the_same_layer(store: Store, tmp_path: Path, outside: Path, target: str) -> None:
    first = [entry("gone"), entry("victim")]
    second = [link("l", str(outside)), folder("folder"), entry(".wh.gone"), hard("self", target)]
    with pytest.raises(ImageError, match=r"no file of the same layer|through a link|`\.\.`"):
        store.import_archive(made(tmp_path / "a.tar", first, second), "bad")
    assert not store.list()
    store.prune()


def test_devices_are_left_out_and_are_no_whiteouts(store: Store, tmp_path: Path) -> None:
    zero: dict[str, Any] = {"devmajor": 0, "devminor": 0}
    null: dict[str, Any] = {"devmajor": 1, "devminor": 3}
    image = store.import_archive(
        made(
            tmp_path / "a.tar",
            [entry("etc/passwd", PASSWD), entry("x")],
            [entry("etc/passwd", kind=CHARACTER, **zero), entry("x", kind=CHARACTER, **zero), entry("sda", kind=BLOCK, **null), entry("null", kind=CHARACTER, **null)],
        ),
        "made",
    )  # fmt: skip
    assert shown(image, "etc") == ["passwd"] and image.account("app").uid == 1000
    assert sorted(path.name for path in image.layers[1].iterdir()) == []


def test_extended_attributes_are_left_out(store: Store, tmp_path: Path) -> None:
    smuggled = {"SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.security.capability": "x"}  # fmt: skip
    path = made(tmp_path / "a.tar", [folder("d", pax_headers=smuggled), entry("x", pax_headers=smuggled)])
    (root,) = store.import_archive(path, "made").layers
    assert os.listxattr(root / "d") == os.listxattr(root / "x") == []


def test_whiteouts_of_nothing_are_refused(store: Store, tmp_path: Path) -> None:
    for name in (".wh.", ".wh..", ".wh...", "a/.wh..."):
        refused(store, made(tmp_path / "a.tar", [entry(name)]), "hides nothing")


# Attacks: by size.


def test_bombs_are_refused(store: Store, tmp_path: Path) -> None:
    many = made(tmp_path / "many.tar", *([entry(f"{layer}-{number}") for number in range(60)] for layer in range(2)))
    with pytest.raises(ImageError, match="more files than"):
        store.import_archive(many, "bad", Budget(max_entries=100))
    assert not store.list()
    store.prune()
    layer = tar(entry("zeros", bytes(50 << 20)))
    members = oci_members([layer], configuration([layer]), gzip.compress)
    path = save(tmp_path / "a.tar", members)
    assert path.stat().st_size < 1 << 18
    refused(store, path, "larger than an image may be", Budget(max_bytes=10 << 20))
    tail = tar(entry("x")) + bytes(50 << 20)
    path = save(tmp_path / "a.tar", oci_members([tail], configuration([tail]), gzip.compress))
    refused(store, path, "larger than an image may be", Budget(max_bytes=10 << 20))
    (tmp_path / "b").write_bytes(gzip.compress(bytes(50 << 20)))
    refused(store, tmp_path / "b", "larger than an image may be", Budget(max_bytes=10 << 20))
    with pytest.raises(ImageError, match="larger than"):
        store.import_folder(lay_out(tmp_path / "root", {"x": bytes(2000)}), "bad", Budget(max_bytes=1000))


def test_what_a_header_claims_is_not_believed(store: Store, tmp_path: Path) -> None:
    def with_header(**claims: object) -> Path:
        info = tarfile.TarInfo("x")
        for key, value in claims.items():
            setattr(info, key, value)
        layer = info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
        return save(tmp_path / "a.tar", docker_members([layer], configuration([layer])))

    refused(store, with_header(size=1 << 40), "cut off")
    refused(store, with_header(size=1 << 40, type=tarfile.XHDTYPE), "an extended header of")
    refused(store, with_header(size=1 << 40, type=tarfile.GNUTYPE_LONGNAME), "an extended header of")
    refused(store, with_header(size=-512), "a member of -512 bytes")
    refused(store, with_header(type=tarfile.GNUTYPE_SPARSE), "sparse")
    refused(store, with_header(type=b"?"), "not known")
    refused(store, made(tmp_path / "a.tar", [entry("x", pax_headers={"size": "9" * 30})]), "where a number should be")
    refused(store, made(tmp_path / "a.tar", [entry("x", pax_headers={"GNU.sparse.major": "1"})]), "sparse")


def test_long_and_deep_paths_are_errors(store: Store, tmp_path: Path) -> None:
    refused(store, made(tmp_path / "a.tar", [entry("n" * 256)]), "File name too long")
    refused(store, made(tmp_path / "a.tar", [entry("/".join("n" * 100 for _ in range(50)))]), "longer than 4095 bytes")
    refused(store, made(tmp_path / "a.tar", [entry("/".join("n" for _ in range(300)))]), "or 256 names")
    refused(store, made(tmp_path / "a.tar", [link("x", "n" * 5000)]), "File name too long")
    deep = "/".join("n" for _ in range(256))
    assert store.import_archive(made(tmp_path / "a.tar", [entry(deep)]), "deep")


def test_a_path_too_long_to_be_named_from_outside_can_be_deleted(store: Store, tmp_path: Path) -> None:
    deep = "/".join(["d" * 80] * 50)
    layer = tar(folder(deep, mode=0), entry(f"{deep}/x", "x"))
    wrong = save(tmp_path / "wrong", docker_members([layer], configuration([layer + b"x"])))
    with pytest.raises(ImageError, match="damaged"):
        store.import_archive(wrong, "made")
    store.import_archive(made(tmp_path / "right", [folder(deep), entry(f"{deep}/x", "x")]), "made")
    store.remove("made")
    assert len(store.prune()) == 1


def test_times_and_ids_out_of_range_are_bounded(store: Store, tmp_path: Path) -> None:
    entries = [
        entry(str(n), mtime=mtime, uid=uid) for n, (mtime, uid) in enumerate([(-5, 0), (2**40, 2**40), (1.5, 7)])
    ]
    (root,) = store.import_archive(made(tmp_path / "a.tar", entries), "made").layers
    assert [(root / str(n)).stat().st_mtime for n in range(3)] == [0, 1 << 33, 1.5]
    odd = [entry("x", pax_headers={"mtime": "9" * 20, "uid": "-3"})]
    assert store.import_archive(made(tmp_path / "a.tar", odd), "made")


# Attacks: damage.


def test_what_is_cut_off_or_damaged_is_refused(store: Store, tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(300_000)
    layer = tar(entry("x", noise), entry("y", noise))
    config = configuration([layer])
    flipped = bytearray(layer)
    flipped[100_000] ^= 1
    packed = gzip.compress(layer)
    for broken, match in (
        (layer[:300_000], "cut off"), (layer[: 512 + 300_032], "its content is not what"), (b"", "its content is not what"),
        (bytes(flipped), "its content is not what the image says"), (layer + b"\0", "its content is not what"),
        (packed[:-2000], "cut off"), (packed[:-4], "cut off"), (packed[:50] + b"xxxx" + packed[54:], "broken|CRC"),
        (b"\x28\xb5\x2f\xfd junk", "zstd"), (b"\x1f\x8b", "cut off"), (b"BZhjunk", "nvalid"), (b"\xfd7zXZ\0junk", "broken"),
        (noise, "no tar"), (b"\xff" * 2048, "no tar"),
    ):  # fmt: skip
        refused(store, save(tmp_path / "a.tar", docker_members([broken], config)), match)
    whole = save(tmp_path / "a.tar", docker_members([layer], config)).read_bytes()
    for size in (0, 100, 512, 1000, 5000, 400_000, len(whole) - 20_000):
        (tmp_path / "b.tar").write_bytes(whole[:size])
        refused(store, tmp_path / "b.tar", None)
    for size in (20, 1000, 300_000):
        (tmp_path / "b.tar").write_bytes(gzip.compress(whole)[:size])
        refused(store, tmp_path / "b.tar", "cut off")
    (tmp_path / "b.tar").write_bytes(noise)
    refused(store, tmp_path / "b.tar", "no tar")
    refused(store, tmp_path / "none", "No such file")
    assert store.import_archive(tmp_path / "a.tar", "fine")


def test_a_good_layer_stays_when_another_is_bad(store: Store, tmp_path: Path) -> None:
    layers = [tar(entry("good")), tar(entry("bad"))]
    members = docker_members(layers, configuration(layers))
    path = save(tmp_path / "a.tar", {**members, "1/layer.tar": tar(entry("evil"))})
    with pytest.raises(ImageError, match="layer 2 of 2: its content is not what"):
        store.import_archive(path, "made")
    assert store.list() == {} and store.prune() == [sha(layers[0])]


def test_json_of_the_wrong_shape_is_refused(store: Store, tmp_path: Path) -> None:
    layer = tar(entry("x"))
    config = configuration([layer])
    docker, oci = docker_members([layer], config), oci_members([layer], config)
    name = next(name for name in docker if name.endswith(".json"))
    junk: list[object] = [None, [], {}, "text", 7, [[]], [{}], {"manifests": 7}, {"manifests": [{}]}, [{"Config": 7, "Layers": []}], [{"Config": name, "Layers": [7]}],
        [{"Config": "../../etc/passwd", "Layers": []}], [{"Config": "/etc/passwd", "Layers": []}], [{"Config": name, "Layers": ["../0/layer.tar"]}],
        [{"Config": name, "Layers": ["/etc/passwd"]}], [{"Config": name, "Layers": ["a\0", "\ud800"]}], [{"Config": name, "Layers": []}],
        {"manifests": [{"digest": "sha256:../../../etc/passwd"}]}, {"manifests": [{"digest": "md5:12"}]}, {"manifests": [{"digest": f"sha256:{'0' * 64}"}]}]  # fmt: skip
    for value in junk:
        for member, members in (("manifest.json", docker), ("index.json", oci)):
            refused(store, save(tmp_path / "a.tar", {**members, member: dump(value)}), "a.tar")
        refused(store, lay_out(tmp_path / "folder", {**oci, "index.json": dump(value)}), "folder")
        refused(store, save(tmp_path / "a.tar", {**docker, name: dump(value)}), "a.tar")
    for raw in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (5 << 20)):
        refused(store, save(tmp_path / "a.tar", {**docker, "manifest.json": raw}), "manifest.json")
    for programs in ({"Env": "x"}, {"Env": [7]}, {"User": []}, {"Entrypoint": [None]}, {"WorkingDir": 7}, {"Cmd": {}}):
        bad = configuration([layer], **programs)
        refused(store, save(tmp_path / "a.tar", docker_members([layer], bad)), "config")
    none = configuration([])
    refused(store, save(tmp_path / "a.tar", docker_members([], none)), "has 0 layers")
    tampered = {**oci, f"blobs/sha256/{sha(config)}": config.replace(b"linux", b"linuz")}
    refused(store, save(tmp_path / "a.tar", tampered), "its digest says")
    refused(store, save(tmp_path / "a.tar", {"x": b""}), "neither index.json nor manifest.json")


def test_members_are_files_of_the_archive(store: Store, tmp_path: Path, outside: Path) -> None:
    layer = tar(entry("x"))
    (outside / "layer.tar").write_bytes(layer)
    config = configuration([layer])
    members = docker_members([layer], config)
    del members["0/layer.tar"]
    path = tmp_path / "a.tar"
    refused(store, save(path, members), "has no file '0/layer.tar'")
    refused(store, save(path, members, link("0/layer.tar", f"{outside}/layer.tar")), "has no file")
    refused(
        store, save(path, members, link("0/layer.tar", f"../../../../../../../../..{outside}/layer.tar")), "has no file"
    )
    refused(store, save(path, members, link("0/layer.tar", "layer.tar")), "link to itself")
    refused(store, save(path, members, folder("0/layer.tar")), "has no file")
    refused(store, save(path, members, entry("0/layer.tar", kind=tarfile.FIFOTYPE)), "has no file")
    refused(store, save(path, members, entry("0/layer.tar", layer), entry("0/layer.tar", layer)), "'0/layer.tar' twice")
    oci = lay_out(tmp_path / "oci", oci_members([layer], config))
    found = oci / "blobs/sha256" / sha(layer)
    found.unlink()
    for target in (outside / "layer.tar", Path("../../../outside/layer.tar")):
        found.symlink_to(target)
        refused(store, oci, "cannot read")
        found.unlink()
    os.mkfifo(found)
    refused(store, oci, "not a regular file")
    found.unlink()
    (oci / "blobs").rename(tmp_path / "blobs")
    (oci / "blobs").symlink_to(tmp_path / "blobs")
    refused(store, oci, "cannot read")
    (outside / "layer.tar").unlink()


# Two at once, and death.

IMPORT = "import sys; from pathlib import Path; from termgym.image.store import Store; Store(Path(sys.argv[1])).import_archive(Path(sys.argv[2]), 'made')"


def importing(store: Store, path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", IMPORT, str(store.folder), str(path)], cwd=Path(__file__).parents[1])


def files(folder: Path) -> int:
    """How many files are below a folder that others change."""
    return sum(len(names) for _, _, names in os.walk(folder))


def big(path: Path) -> Path:
    layers = [[entry(f"{layer}/{number}", bytes(1000) + b"%d" % number) for number in range(800)] for layer in range(4)]
    return made(path, *layers)


def test_two_imports_at_once(store: Store, tmp_path: Path) -> None:
    path = big(tmp_path / "a.tar")
    running = [importing(store, path) for _ in range(2)]
    assert [one.wait() for one in running] == [0, 0]
    image = store.find("made")
    assert len(image.layers) == 4 and all(len(list(layer.rglob("*"))) == 801 for layer in image.layers)


@pytest.mark.slow
def test_a_killed_import_leaves_nothing_that_counts(store: Store, tmp_path: Path) -> None:
    path = big(tmp_path / "a.tar")
    deadline = time.monotonic() + 30
    for wanted in (1, 300, 1500):
        process = importing(store, path)
        while files(store.folder / "tmp") < wanted:
            assert process.poll() is None and time.monotonic() < deadline, "it was to be killed in its middle"
            time.sleep(0.001)
            if wanted == 1500 and list((store.folder / "layers").iterdir()):
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert store.list() == {} and len(list((store.folder / "tmp").iterdir())) == 1
        whole = {sha(file.read()) for file in _layers(path)}
        assert all(layer.name in whole for layer in (store.folder / "layers").iterdir())
        assert all(len(list(layer.rglob("*"))) == 801 for layer in (store.folder / "layers").iterdir())
    other = store.import_archive(made(tmp_path / "b.tar", [entry("x")]), "other")
    assert not list((store.folder / "tmp").iterdir()) and store.list() == {"other:latest": other}
    assert len(store.import_archive(path, "made").layers) == 4


def _layers(path: Path) -> list[io.BytesIO]:
    with tarfile.open(path) as archive:
        members = [archive.extractfile(member) for member in archive if member.name.endswith("layer.tar")]
        return [io.BytesIO(member.read()) for member in members if member]


@pytest.mark.slow
def test_a_living_import_is_left_alone(store: Store, tmp_path: Path) -> None:
    process = importing(store, big(tmp_path / "a.tar"))
    while not files(store.folder / "tmp"):
        assert process.poll() is None
    small = made(tmp_path / "b.tar", [entry("x")])
    while process.poll() is None:
        store.import_archive(small, "small")
    assert process.returncode == 0 and list(store.list()) == ["made:latest", "small:latest"]


# The command line.


def run(*argv: str) -> str:
    result = CliRunner().invoke(app, ["image", *argv])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMGYM_IMAGES", str(store.folder))
    assert json.loads(run("list", "--json")) == []
    archive = made(tmp_path / "tool.tar", [entry("x")], User="7", WorkingDir="/w")
    digest = run("import", str(archive)).strip()
    run("import", str(lay_out(tmp_path / "root", {"etc/x": b""})), "--name", "root:2")
    assert [image["name"] for image in json.loads(run("list", "--json"))] == ["root:2", "tool:latest"]
    assert digest[:12] in run("list")
    shown = json.loads(run("show", "tool"))
    assert (shown["digest"], shown["user"], shown["workdir"]) == (digest, "7", "/w")
    run("remove", "tool")
    assert len(list((store.folder / "layers").iterdir())) == 1
    for argv, said in (
        (["show", "rot:2"], "did you mean root:2?"),
        (["import", "/none/x.tar"], "is no name"),
    ):
        result = CliRunner().invoke(app, ["image", *argv])
        assert result.exit_code == 2 and said in result.stderr, result.output


def test_without_an_engine_it_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ImageError, match=r"termgym\[docker\]|cannot get none:latest from a Docker engine"):
        store.import_engine("none")
    assert not store.list()
