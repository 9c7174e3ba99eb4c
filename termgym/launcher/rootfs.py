"""What a box's root file system is made of: overlays, each of layers with the most trusted at the bottom.

    upper      in a tmpfs of the box's own, of limited size: all that its processes write
    layers     the uppers of boxes that it was forked from, read-only
    skeleton   a small tree of ours: /etc, /root, /tmp, empty folders
    base       the host's userland, or the layers of an image, read-only

Of the host only /usr shows (without /usr/local and the Python environment that runs termgym), as an overlay of its
own at /usr: the rest of the root is the skeleton, so that nothing of the host can be there by accident.
"""

import os
import stat

from . import layers as stack
from . import linux
from .layers import is_folder

USERLAND = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
FOLDERS = ("dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "var")
VAR = ("cache", "lib", "lib/misc", "log", "mail", "spool", "tmp")

# Read by the programs in /usr, of no secret, and copied so that they are the box's own to change.
ETC = (
    "alternatives ca-certificates.conf debian_version dpkg fonts gai.conf inputrc issue java-17-openjdk ld.so.cache "
    "ld.so.conf ld.so.conf.d locale.alias login.defs magic magic.mime mime.types nanorc netconfig nsswitch.conf "
    "os-release pam.conf pam.d perl protocols python3 python3.11 python3.12 python3.13 rpc security services shells "
    "skel ssl/certs ssl/openssl.cnf terminfo vim"
).split()

# What the verifier's tools are (awk, which, cc are links through alternatives) or read at start, and may run code from:
# pinned to the base's own, so that the agent's changes do not reach them.
PINNED_ETC = (
    "alternatives bash.bashrc emacs environment gdb gitconfig java-11-openjdk java-17-openjdk java-21-openjdk "
    "ld.so.cache ld.so.conf ld.so.conf.d ld.so.preload magic magic.mime nsswitch.conf perl pki/tls/openssl.cnf profile "
    "profile.d python3 python3.11 python3.12 python3.13 R ssl/openssl.cnf vim"
).split()

WRITTEN = {
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/bash\n"
        "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
        "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "etc/shadow": "root:*:1::::::\ndaemon:*:1::::::\nwww-data:*:1::::::\nnobody:*:1::::::\n",
    "etc/hostname": "termgym\n",
    "etc/hosts": "127.0.0.1\tlocalhost termgym\n::1\tlocalhost\n",
    "etc/profile": (
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n"
        "PS1='\\u@\\h:\\w\\$ '\n"
        'for file in /etc/profile.d/*.sh; do [ -r "$file" ] && . "$file"; done\nunset file\n'
    ),
    "etc/bash.bashrc": "PS1='\\u@\\h:\\w\\$ '\n",
}


class Base:
    """A lower root.

    `parts` maps a folder of the root ("" for the root itself) to the layers, from the top, of the overlay mounted
    there; `pins` is a layer that goes above an agent's when a verifier runs, and `trusted` maps folders of the root
    to the layers of what is mounted over them then, read-only: the base's own toolchain.
    """

    def __init__(self, parts: dict[str, list[str]], pins: str, trusted: dict[str, list[str]]) -> None:
        self.parts, self.pins, self.trusted = parts, pins, trusted


def userland() -> list[str]:
    """The folders of the host that show inside: /usr, and /bin, /lib, ... where they are not links into it."""
    return [name for name in USERLAND if is_folder(f"/{name}")]


def links() -> dict[str, str]:
    """The links of the host's root into /usr."""
    return {name: os.readlink(f"/{name}") for name in USERLAND if os.path.islink(f"/{name}")}


def build_host_base(folder: str, hidden: list[str], links: dict[str, str], etc: str) -> Base:
    """The base that shows the host's userland, mounted at `folder`/lower/NAME, with /etc copied from `etc`."""
    skeleton, lower = f"{folder}/skeleton", f"{folder}/lower"
    os.mkdir(skeleton, 0o755)
    for name in FOLDERS:
        os.mkdir(f"{skeleton}/{name}", 0o755)
    for name in VAR:
        os.makedirs(f"{skeleton}/var/{name}", 0o755, exist_ok=True)
    for name, target in links.items():
        os.symlink(target, f"{skeleton}/{name}")
    parts = {"": [skeleton]}
    for name in os.listdir(lower):
        os.makedirs(f"{skeleton}/{name}", 0o755, exist_ok=True)
        parts[name] = [f"{lower}/{name}"]
    parts["usr"].insert(0, _usr_skeleton(folder, hidden))
    os.makedirs(f"{skeleton}/etc/profile.d", 0o755, exist_ok=True)
    for name in ETC:
        if os.path.lexists(f"{etc}/{name}"):
            _copy([f"{etc}/{name}"], f"{skeleton}/etc/{name}")
    _write(skeleton, WRITTEN)
    pins = _build_pins(folder, [skeleton])
    return Base(parts, pins, {name: [_over(folder), *layers] for name, layers in parts.items() if name})


def _usr_skeleton(folder: str, hidden: list[str]) -> str:
    """A layer over /usr with an empty /usr/local of ours, and a whiteout for each of the `hidden` paths."""
    skeleton, lower = f"{folder}/usr", f"{folder}/lower/usr"
    os.mkdir(skeleton, 0o755)
    _own_folder(f"{skeleton}/local", f"{lower}/local")
    for name in ("bin", "include", "lib", "sbin", "share"):
        path = f"{skeleton}/local/{name}"
        if os.path.lexists(path):
            os.unlink(path)
        _own_folder(path, f"{lower}/local/{name}")
    for path in hidden:
        inside = os.path.realpath(path).removeprefix("/usr/")
        if not inside.startswith(("/", "local/")) and os.path.lexists(f"{lower}/{inside}"):
            os.makedirs(f"{skeleton}/{os.path.dirname(inside)}", 0o755, exist_ok=True)
            _whiteout(f"{skeleton}/{inside}")
    return skeleton


def build_image_base(folder: str, lower: list[str]) -> Base:
    """The base that shows an image, the layers `lower` with the uppermost first, with what every box has over it."""
    skeleton = f"{folder}/skeleton"
    os.mkdir(skeleton, 0o755)
    for name in ("dev", "etc", "proc", "root", "run", "sys", "tmp"):
        os.mkdir(f"{skeleton}/{name}", 0o755)
    _write(skeleton, {name: WRITTEN[name] for name in ("etc/hostname", "etc/hosts")})
    pins = _build_pins(folder, [skeleton, *lower])
    found = {name: stack.find(lower, name) for name in USERLAND}
    trusted = {name: [_over(folder), *paths] for name, paths in found.items() if paths and is_folder(paths[0])}
    return Base({"": [skeleton, *lower]}, pins, trusted)


def _build_pins(folder: str, layers: list[str]) -> str:
    """The layer that undoes what an agent did to the files that steer the toolchain."""
    pins = f"{folder}/pins"
    os.makedirs(f"{pins}/etc", 0o755)
    for name in USERLAND:
        for link in filter(os.path.islink, stack.find(layers, name)):
            os.symlink(os.readlink(link), f"{pins}/{name}")
    for name in PINNED_ETC:
        target = f"{pins}/etc/{name}"
        found = stack.find(layers, f"etc/{name}")
        _copy(found, target)
        if not found:
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            _whiteout(target)
        elif is_folder(target):
            _opaque(target)
    return pins


def _over(folder: str) -> str:
    """An empty layer, since it takes two to make an overlay: a bind mount would show the path of its source."""
    os.makedirs(f"{folder}/over", 0o755, exist_ok=True)
    return f"{folder}/over"


def settle_owners(folder: str, owner: int) -> None:
    """Make `owner` (root inside) own all that we built in `folder`, and set the modes that differ."""
    for tree in (f"{folder}/skeleton", f"{folder}/usr", f"{folder}/pins", f"{folder}/over"):
        for root, folders, files in os.walk(tree):
            for name in (".", *folders, *files):
                os.chown(f"{root}/{name}", owner, owner, follow_symlinks=False)
    for path, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700), ("etc/shadow", 0o640)):
        if os.path.lexists(f"{folder}/skeleton/{path}"):
            os.chmod(f"{folder}/skeleton/{path}", mode)


def _own_folder(path: str, host: str) -> None:
    """An empty folder of our own at `path`, with nothing of the host's folder of that name in it."""
    os.mkdir(path, 0o755)
    if not _opaque(path) and is_folder(host):
        for name in os.listdir(host):
            _whiteout(f"{path}/{name}")


def _opaque(path: str) -> bool:
    """Cut the folder off from the layers below; False on kernels before 6.6, whose tmpfs has no user xattrs."""
    try:
        os.setxattr(path, stack.OPAQUE, b"y")
    except OSError:
        return False
    return True


def _whiteout(path: str) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))


def _copy(found: list[str], target: str) -> None:
    """Copy what everyone may read of what `find` found: a file, a link, a folder merged of several, or nothing."""
    if not found:
        return
    source, mode = found[0], os.lstat(found[0]).st_mode
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    if stat.S_ISLNK(mode):
        if not os.path.lexists(target):
            os.symlink(os.readlink(source), target)
    elif stat.S_ISDIR(mode):
        os.makedirs(target, 0o755, exist_ok=True)
        for name in stack.names(found):
            _copy(stack.find(found, name), f"{target}/{name}")
    elif stat.S_ISREG(mode) and mode & 0o004:
        if os.path.lexists(target):
            os.unlink(target)
        with open(source, "rb") as content, open(target, "wb") as copy:
            copy.write(content.read())
        os.chmod(target, mode & 0o755)


def _write(skeleton: str, files: dict[str, str]) -> None:
    for path, text in files.items():
        os.makedirs(os.path.dirname(f"{skeleton}/{path}"), 0o755, exist_ok=True)
        with open(f"{skeleton}/{path}", "w", encoding="utf-8") as file:
            file.write(text)


def build_devices(folder: str) -> None:
    """A read-only /dev with the six harmless devices of the host, to be copied into every box."""
    linux.mount("tmpfs", folder, "tmpfs", linux.MS_NOSUID, "mode=755,size=64k")
    for name in ("full", "null", "random", "tty", "urandom", "zero"):
        open(f"{folder}/{name}", "w").close()
        linux.mount(f"/dev/{name}", f"{folder}/{name}", None, linux.MS_BIND)
    for name in ("pts", "shm"):
        os.mkdir(f"{folder}/{name}")
    for name, target in (("fd", "/proc/self/fd"), ("ptmx", "pts/ptmx")):
        os.symlink(target, f"{folder}/{name}")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{folder}/{name}")
    linux.mount("", folder, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID)
