"""Files that appear whole or not at all."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from tfgumbel.internal import validation


@contextlib.contextmanager
def whole_file(filepath: Any, suffix: str | None = None, overwrite: bool = True) -> Iterator[Any]:
    """Yields a temporary name next to a local file, and renames it at the end.

    Other files (remote, in shards, of other formats) and those not to be overwritten keep their
    name: Keras, which writes them, has its own ways there.

    Args:
        filepath: the file to write.
        suffix: what its name ends with, kept at the end of the temporary name; None for any name,
            empty for another format.
        overwrite: False leaves the file, and the question whether it exists, to the caller.
    """
    name = os.fspath(filepath)
    known = suffix is None or (suffix and name.endswith(suffix))
    if not known or "://" in name or not overwrite:
        yield filepath
        return
    suffix = os.path.splitext(name)[1] if suffix is None else suffix
    temporary = f"{name.removesuffix(suffix)}.{os.getpid()}.part{suffix}"
    try:
        yield temporary
        # Its bytes before its name: a machine that loses power keeps one of the two files.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, name)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


@contextlib.contextmanager
def reading(path: Any, fix: str) -> Iterator[None]:
    """Turns whatever a damaged file raises into a ValueError with its name and what to do.

    A file that is not there stays a FileNotFoundError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, HDF5, NumPy and Keras have no error in common
        reason = str(error).strip().splitlines() or ["no reason given"]
        raise ValueError(
            validation.describe(
                f"{os.fspath(path)} cannot be read.",
                expected="a whole file of the same kind",
                received=f"{type(error).__name__}: {reason[0]}",
                fix=fix,
            )
        ) from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a JSON file whole, and the folders above it where they are missing."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        text = json.dumps(value, indent=1) + "\n"
        pathlib.Path(temporary).write_text(text, encoding="utf-8")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a Matplotlib figure as `write_json` writes its file; returns the path.

    A name without a suffix is left to Matplotlib, which adds one.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, path.suffix) as temporary:
        figure.savefig(temporary, dpi=150)
    return path
