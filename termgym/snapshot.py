"""A snapshot: an episode as it stands, to go on from any number of times. For tree search, and credit by branches.

Files need no copy: a sealed sandbox's lie as a layer under what each branch writes. Processes cannot be had twice. So
where only the shell is there, at its prompt, a branch gets a new shell with the old one's folder, variables, functions,
aliases, options and history, under the same screen. Else a branch begins where the episode did, or at the snapshot
before, and what was typed since is typed again. `Carried` says which it was.
"""

import secrets
from shlex import quote

from termgym.episode import Carried, Episode
from termgym.errors import SandboxError, SandboxFileError, TaskError
from termgym.pool import Warm, dispose, open_shell
from termgym.sandbox import Sandbox
from termgym.task import File

DUMP_TIMEOUT_S = 5.0
MAX_STATE_BYTES = 1 << 20
_END = b"# all of it\n"
# Functions come before aliases, which would be expanded in them; options last, as `set -u` could end what follows; and
# of these not the one that has commands remembered, which is off while a shell starts.
_DUMP = """{
printf 'cd -- %q\n' "$PWD"; umask -p; declare -p; declare -f; trap -p
history -d -1; history -w STATE.history; echo 'history -r STATE.history; command -p rm -f STATE STATE.history'
alias -p; shopt -p; set +o | while read -r REPLY; do [ "$REPLY" = 'set -o history' ] || echo "$REPLY"; done
echo '# all of it'
} >STATE 2>/dev/null
command -p rm -f STATE.sh
"""
_LOGIN = """. /etc/profile; for file in ~/.bash_profile ~/.bash_login ~/.profile; do
[ -r "$file" ] && . "$file" && break; done; unset file; cd -- FOLDER; command -p rm -f STATE
"""


class Snapshot:
    """An episode as it stood. It keeps the files until it is closed, and so is every branch."""

    def __init__(self, episode: Episode) -> None:
        """Use `take`."""
        self._episode = episode.task, episode.config, episode.limits, episode.pool
        self._kind = episode.config.terminal
        self._progress, self._typed = episode.progress, tuple(episode.typed)
        self._screen, self._dump = episode.terminal.emulator.screen(), episode.terminal.emulator.dump()
        self._origin = episode.origin.held() if isinstance(episode.origin, Snapshot) else None
        self._sandbox: Sandbox | None = None
        self._shell, self._carried = "", Carried.REPLAYED
        self._users = 1
        self.spent = False
        """Whether it took what the episode had, which can then go on as a branch only."""

    async def restore(self) -> Episode:
        """A branch: an episode that goes on from here, with `carried` set.

        Raises:
            SandboxError: It could not be brought up, or the snapshot is closed.
        """
        if not self._users:
            raise SandboxError("the snapshot is closed")
        if self._sandbox is None:
            return await self._replay()
        (sandbox,) = await self._sandbox.fork(1)
        try:
            argv, size = ("/bin/bash", "--rcfile", self._shell), (self._screen.rows, self._screen.cols)
            terminal = await open_shell(sandbox, *size, argv, self._kind)
        except BaseException:
            await sandbox.close()
            raise
        if self._carried is Carried.SHELL:
            terminal.show(self._dump)
        await terminal.name(self._episode[0].id)
        await terminal.mark()
        episode = Episode(*self._episode)
        episode.go_on(self._progress, Warm(sandbox, terminal))
        episode.origin, episode.carried = self.held(), self._carried
        return episode

    async def _replay(self) -> Episode:
        if self._origin:
            episode = await self._origin.restore()
        else:
            episode = Episode(*self._episode)
            await episode.reset()
        try:
            await episode.type(self._typed)
        except BaseException:
            await episode.close()
            raise
        episode.go_on(self._progress)
        episode.carried = Carried.REPLAYED if episode.terminal.emulator.screen() == self._screen else Carried.DIVERGED
        return episode

    async def seal(self, episode: Episode, state: str, carried: Carried) -> None:
        """Take the sandbox of `episode`, whose shell left its state in the file `state`."""
        warm = episode.give_up()
        if self._origin:
            await self._origin.close()
        self._origin, self._typed = None, ()
        self._sandbox, self._shell, self._carried, self.spent = warm.sandbox, state, carried, True
        await warm.sandbox.seal()  # before the terminal goes: a shell that is hung up writes its history to a file
        if warm.terminal is not None:
            warm.terminal.close()

    def held(self) -> "Snapshot":
        """This, for one user more, who has to close it too."""
        self._users += 1
        return self

    async def close(self) -> None:
        """Let go of it: the files are dropped when its branches are closed too."""
        self._users = max(0, self._users - 1)
        if self._users:
            return
        if self._sandbox is not None:
            await self._sandbox.close()
        if self._origin is not None:
            await self._origin.close()


async def take(episode: Episode, replay: bool | None = None) -> Snapshot:
    """A snapshot of an episode; one that is `spent` has used it up.

    Args:
        episode: One that has not ended.
        replay: Whether branches type again what was typed; None is wherever more than a shell at its prompt is there.

    Raises:
        SandboxError: The sandbox failed.
        TaskError: The task has steps.
    """
    if episode.task.steps:
        raise TaskError(f"{episode.task.id} has several steps ([[steps]]), of which no snapshots can be taken yet")
    snapshot = Snapshot(episode)
    try:
        await _seal(snapshot, episode, replay)
    except BaseException:
        await snapshot.close()
        raise
    return snapshot


async def _seal(snapshot: Snapshot, episode: Episode, replay: bool | None) -> None:
    """Seal the episode's sandbox, unless what was typed is to be typed again."""
    state = f"/tmp/.termgym-{secrets.token_hex(8)}"
    if episode.terminal.resting() and not replay:
        if await _dump(episode, state):
            await snapshot.seal(episode, state, Carried.SHELL)
            return
        snapshot.spent = True  # it has been typed into
    if replay is False:
        script = _LOGIN.replace("FOLDER", quote(episode.terminal.folder())).replace("STATE", state)
        await episode.sandbox.put({state: File.of(script)})
        await snapshot.seal(episode, state, Carried.FILES)
    elif snapshot.spent:
        await dispose(episode.give_up())


async def _dump(episode: Episode, state: str) -> bool:
    """Have the shell write its state into the file `state`; whether it did."""
    await episode.sandbox.put({f"{state}.sh": File.of(_DUMP.replace("STATE", state))})
    await episode.terminal.type(f". {state}.sh\n", DUMP_TIMEOUT_S)
    try:
        return (await episode.sandbox.get(state, MAX_STATE_BYTES)).endswith(_END)
    except SandboxFileError:
        return False
