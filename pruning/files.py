"""Files that appear whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def whole_file(filepath: Any, suffix: str, overwrite: bool = True) -> Iterator[Any]:
    """Yields a temporary name next to a local file, and renames it at the end.

    Other files (remote, in shards, of other formats) and those not to be overwritten keep their
    name: Keras, which writes them, has its own ways there.

    Args:
        filepath: the file to write.
        suffix: what its name ends with, kept at the end of the temporary name; empty for another
            format.
        overwrite: False leaves the file, and the question whether it exists, to the caller.
    """
    name = os.fspath(filepath)
    if not suffix or not name.endswith(suffix) or "://" in name or not overwrite:
        yield filepath
        return
    temporary = f"{name.removesuffix(suffix)}.{os.getpid()}.part{suffix}"
    try:
        yield temporary
        os.replace(temporary, name)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
