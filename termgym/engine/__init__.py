"""A Docker engine: its API, called in threads; what it knows of images; and what dead runs left there.

One for each event loop, on first use. DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say where it is, as for
Docker's own client.
"""

import asyncio
import importlib
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

from termgym.engine.owner import IMAGE_LABEL, LABEL, Owner
from termgym.errors import SandboxDied, SandboxError, SandboxUnavailable

T = TypeVar("T")
THREADS = 32
AT_A_TIME = 4
"""Containers being started: more only wait for each other in the engine, which takes 0.3 s of processor time each."""
TIMEOUT_S = 120
_ATTRIBUTE = "_termgym_engine"


class Engine:
    """One engine, from one event loop."""

    def __init__(self, api: Any) -> None:
        """`api` is a `docker.APIClient`."""
        self.api, self.me = api, Owner.me()
        self.starting = asyncio.Semaphore(AT_A_TIME)
        self._threads = ThreadPoolExecutor(THREADS, "termgym-docker")
        self._once: dict[object, asyncio.Task[Any]] = {}

    @property
    def labels(self) -> dict[str, str]:
        """What marks a container, an image or a volume as this process's."""
        return {LABEL: self.me.label}

    async def call(self, what: str, method: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a blocking method of the API in a thread; `what` it is to do, for errors.

        Raises:
            SandboxDied: There is no such container any more, or it does not run.
            SandboxError: The engine could not do it.
        """
        errors = importlib.import_module("docker.errors")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, partial(method, *args, **options))
        except errors.APIError as error:
            kind = SandboxDied if error.status_code in (404, 409) else SandboxError
            raise kind(f"the Docker engine cannot {what}: {error.explanation or error}") from error
        except (errors.DockerException, OSError) as error:  # requests' errors are OSErrors
            raise SandboxError(f"the Docker engine cannot {what}: {error}") from error

    def later(self, method: Callable[..., object], *args: Any, **options: Any) -> None:
        """Call a method of the API some time, whatever it comes to."""
        self._threads.submit(method, *args, **options)

    async def once(self, key: object, work: Callable[[], Any]) -> Any:
        """What a coroutine function comes to, which is called once for each key; again if it failed."""
        task = self._once.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._once[key] = asyncio.get_running_loop().create_task(work())
        return await asyncio.shield(task)

    async def inert(self, image: str, **config: Any) -> str:
        """A container that is only there for its files, and never started; `config` is for its host side."""
        host = self.api.create_host_config(network_mode="none", **config)
        options: dict[str, Any] = {"host_config": host, "labels": self.labels, "entrypoint": ["/none"]}
        options["working_dir"] = "/"  # the engine makes it, and cannot if an agent left a file in its place
        return (await self.call("make a container", self.api.create_container, image, **options))["Id"]

    async def remove(self, container: str) -> None:
        """Remove a container, whatever it does."""
        await self.call("remove a container", self.api.remove_container, container, v=True, force=True)

    async def quota(self, image: str, size: int) -> dict[str, str] | None:
        """The storage option that bounds a container's files; None where the engine's file system has no quotas."""

        async def holds() -> bool:
            with suppress(SandboxError):
                await self.remove(await self.inert(image, storage_opt={"size": "64M"}))
                return True
            return False

        return {"size": str(size)} if await self.once("quota", holds) else None

    async def reap(self) -> int:
        """Remove what processes that are gone have left here; how many containers it was."""
        of_ours = {"label": LABEL}
        containers = await self.call("list containers", self.api.containers, all=True, filters=of_ours)
        dead = [one for one in containers if self._is_dead(one)]
        for one in dead:
            with suppress(SandboxError):
                await self.remove(one["Id"])
        images: list[dict[str, Any]] = await self.call("list images", self.api.images, all=True, filters=of_ours)
        for image in sorted(filter(self._is_dead, images), key=itemgetter("Created"), reverse=True):
            with suppress(SandboxError):
                await self.call("remove an image", self.api.remove_image, image["Id"], noprune=True)
        await self._reap_volumes()
        return len(dead)

    async def _reap_volumes(self) -> None:
        """Remove what was copied of images that are gone."""
        found = await self.call("list volumes", self.api.volumes, filters={"label": IMAGE_LABEL})
        images: list[dict[str, Any]] = await self.call("list images", self.api.images, all=True)
        there = {image["Id"] for image in images}
        volumes: list[dict[str, Any]] = found["Volumes"] or []
        for volume in volumes:
            if volume["Labels"][IMAGE_LABEL] not in there:
                with suppress(SandboxError):
                    await self.call("remove a volume", self.api.remove_volume, volume["Name"])

    def _is_dead(self, thing: dict[str, Any]) -> bool:
        labels: dict[str, str] = thing.get("Labels") or {}
        owner = Owner.of(labels.get(LABEL, ""))
        return owner is not None and owner.is_dead(self.me)

    async def close(self) -> None:
        """Let go of it, when all that was asked of it is done."""
        await asyncio.to_thread(self._threads.shutdown)
        self.api.close()


async def engine() -> Engine:
    """The engine of the running loop, connected on first use.

    Raises:
        SandboxUnavailable: There is no client, or no engine answers; the message says what to do.
    """
    loop = asyncio.get_running_loop()
    connecting: asyncio.Task[Engine] | None = getattr(loop, _ATTRIBUTE, None)
    if connecting is None or (connecting.done() and (connecting.cancelled() or connecting.exception() is not None)):
        connecting = loop.create_task(_connect())
        setattr(loop, _ATTRIBUTE, connecting)
    return await asyncio.shield(connecting)


async def close_engine() -> None:
    """Let go of the running loop's engine, if it has one."""
    loop = asyncio.get_running_loop()
    connecting: asyncio.Task[Engine] | None = getattr(loop, _ATTRIBUTE, None)
    setattr(loop, _ATTRIBUTE, None)
    if connecting is not None:
        with suppress(SandboxError):  # it never answered
            await (await connecting).close()


def _knock(where: str) -> None:
    """Raise OSError where no socket is listened on: docker's client would leave one of its own unclosed."""
    scheme, _, path = where.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)


async def _connect() -> Engine:
    try:
        docker: Any = importlib.import_module("docker")
    except ImportError:
        raise SandboxUnavailable("Docker's client for Python is missing: pip install 'termgym[docker]'") from None
    where = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        _knock(where)
        made = Engine((await asyncio.to_thread(docker.from_env, timeout=TIMEOUT_S, max_pool_size=THREADS)).api)
        await asyncio.to_thread(made.api.ping)
    except (docker.errors.DockerException, OSError) as error:
        advice = "start one, or say by DOCKER_HOST where it is; sandbox='namespace' needs none"
        raise SandboxUnavailable(f"no Docker engine answers at {where} ({error}): {advice}") from error
    await made.reap()
    return made
