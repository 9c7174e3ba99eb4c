"""Images of a Docker engine, through its API."""

import importlib
from collections.abc import Iterator

from termgym.errors import ImageError


def saved(name: str) -> Iterator[bytes]:
    """What `docker save NAME` would write, in pieces.

    Raises:
        ImageError: There is no engine, it has no such image, or termgym[docker] is not installed.
    """
    try:
        docker = importlib.import_module("docker")
    except ImportError:
        advice = f"pip install 'termgym[docker]', or run `docker save -o FILE {name}` and import FILE"
        raise ImageError(f"to get {name} from a Docker engine takes its Python package: {advice}") from None
    try:
        client = docker.from_env()
        try:
            yield from client.images.get(name).save(named=True)
        finally:
            client.close()
    except docker.errors.ImageNotFound:
        raise ImageError(f"the Docker engine has no image {name!r}; `docker pull {name}` gets it one") from None
    except docker.errors.DockerException as error:
        raise ImageError(f"cannot get {name} from a Docker engine: {error}") from None
