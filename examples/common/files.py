"""Files of a run: they appear whole or not at all, and one that is damaged is named."""

import contextlib
import json
import os
import pathlib


class RunError(ValueError):
    """What the user of an example can mend; its message says how."""


@contextlib.contextmanager
def whole_file(path):
    """Yields a temporary name beside `path`, with its suffixes, and renames the file at the end.

    A program that is killed while it writes, or a full disk, leaves the file that was there.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"part-{os.getpid()}-{path.name}")
    try:
        yield temporary
        # Its bytes before its name: a machine that loses power keeps one of the two files.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def reading(path, remedy):
    """Turns whatever a damaged file raises into a `RunError` with its name and the remedy."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:  # zip, HDF5, JSON and Keras have no error in common
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise RunError(
            f"{path} cannot be read ({type(error).__name__}: {reason}).\nTo go on, {remedy}."
        ) from error


def write_json(path, value):
    """Writes a JSON file whole."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path, remedy):
    """Reads a JSON file; a damaged one is a `RunError` that names the remedy."""
    with reading(path, remedy):
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
