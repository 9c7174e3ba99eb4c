"""Archives of images, made for tests: layers as tars, and what `docker save` and OCI tools put around them."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
Entry = tuple[tarfile.TarInfo, bytes]


def entry(
    name: str, content: bytes | str = b"", kind: bytes = tarfile.REGTYPE, mode: int = 0o644, **more: Any
) -> Entry:
    """A member of a layer."""
    data = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.mtime = kind, mode, len(data), 86_400
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def folder(name: str, mode: int = 0o755, **more: Any) -> Entry:
    return entry(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def link(name: str, target: str, **more: Any) -> Entry:
    return entry(name, kind=tarfile.SYMTYPE, mode=0o777, linkname=target, **more)


def hard(name: str, target: str) -> Entry:
    return entry(name, kind=tarfile.LNKTYPE, linkname=target)


def tar(*entries: Entry, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for info, data in entries:
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def configuration(layers: Sequence[bytes], **config: Any) -> bytes:
    diff_ids = [f"sha256:{sha(layer)}" for layer in layers]
    return dump(
        {
            "os": "linux",
            "architecture": MACHINE,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )


def docker_members(layers: Sequence[bytes], config: bytes, tags: Sequence[str] = ("made:latest",)) -> dict[str, bytes]:
    """What `docker save` writes without an OCI layout."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": f"{sha(config)}.json", "RepoTags": list(tags), "Layers": names}]
    return {
        f"{sha(config)}.json": config,
        **dict(zip(names, layers, strict=True)),
        "manifest.json": dump(manifest),
    }


def blob(blobs: dict[str, bytes], data: bytes, **more: Any) -> dict[str, Any]:
    """A descriptor of `data`, which goes into `blobs`."""
    blobs[f"blobs/sha256/{sha(data)}"] = data
    return {"mediaType": "application/octet-stream", "digest": f"sha256:{sha(data)}", "size": len(data), **more}


def oci_members(
    layers: Sequence[bytes],
    config: bytes,
    packed: Callable[[bytes], bytes] = bytes,
    **more: Any,
) -> dict[str, bytes]:
    """An OCI layout."""
    blobs: dict[str, bytes] = {}
    manifest = {"config": blob(blobs, config), "layers": [blob(blobs, packed(layer)) for layer in layers]}
    index = {"schemaVersion": 2, "manifests": [blob(blobs, dump(manifest), **more)]}
    return {"oci-layout": dump({"imageLayoutVersion": "1.0.0"}), "index.json": dump(index), **blobs}


def save(path: Path, members: dict[str, bytes], *more: Entry) -> Path:
    """The archive of these members."""
    path.write_bytes(tar(*(entry(name, data) for name, data in members.items()), *more))
    return path


def lay_out(path: Path, members: dict[str, bytes]) -> Path:
    """The folder of these members."""
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def made(path: Path, *layers: Sequence[Entry], **config: Any) -> Path:
    """An archive of an image with these layers."""
    tars = [tar(*entries) for entries in layers]
    return save(path, docker_members(tars, configuration(tars, **config)))
