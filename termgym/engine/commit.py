"""The files of a container that has ended, as an image that others begin from."""

import contextlib

from termgym.engine import Engine
from termgym.engine.owner import LABEL
from termgym.errors import SandboxDied


class Commit:
    """An image of a container's files, for as long as anybody runs from it."""

    def __init__(self, engine: Engine, image: str, below: "Commit | None" = None) -> None:
        """`below` is what it lies on, which it holds."""
        self._engine, self.image, self._below, self._users = engine, image, below, 1

    @classmethod
    async def of(cls, engine: Engine, container: str, below: "Commit | None") -> "Commit":
        """The files of a container; `below` is what that began from."""
        label = f'LABEL {LABEL}="{engine.me.label}"'
        made = await engine.call("keep a container's files", engine.api.commit, container, changes=[label])
        return cls(engine, made["Id"], below.held() if below else None)

    async def pinned(self, pins: bytes) -> "Commit":
        """The same files with a tar of others laid over them.

        In a container without volumes: they could not be mounted over just anything that an agent left in their places.
        """
        engine = self._engine
        made = await engine.inert(self.image)
        try:
            await engine.call("write files", engine.api.put_archive, made, "/", pins)
            return await Commit.of(engine, made, self)
        finally:
            await engine.remove(made)

    def held(self) -> "Commit":
        """This, for one user more, who has to `release` it too."""
        self._users += 1
        return self

    async def release(self) -> None:
        """Say that it is not needed any more."""
        self._users -= 1
        if self._users:
            return
        with contextlib.suppress(SandboxDied):
            await self._engine.call("remove an image", self._engine.api.remove_image, self.image, noprune=True)
        if self._below is not None:
            await self._below.release()
