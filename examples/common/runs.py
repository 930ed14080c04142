"""A run's folder: it belongs to one set of settings."""

import json
import pathlib

from examples.common.files import RunError, read_json, write_json


def claim(folder, settings):
    """Makes a folder and writes the run's settings there, or checks that those there are the same.

    So neither a checkpoint nor a result is ever taken for that of another run.

    Args:
        folder: of one run, for it alone.
        settings: dict of plain values, all that the result depends on.

    Returns:
        folder: as a pathlib.Path.

    Raises:
        RunError: the folder holds a run with other settings, or a damaged list of them.
    """
    folder = pathlib.Path(folder)
    path = folder / "settings.json"
    settings = json.loads(json.dumps(settings))  # tuples become lists, as in the file
    if not path.exists():
        write_json(path, settings)
        return folder
    found = read_json(path, f"delete the folder {folder}, or choose another --run_dir")
    differing = [
        f"  {name}: {found.get(name)!r} there, {settings.get(name)!r} now"
        for name in {**settings, **found}
        if found.get(name) != settings.get(name)
    ]
    if differing:
        raise RunError(
            f"{folder} holds a run with other settings:\n"
            + "\n".join(differing)
            + "\nTo go on with it give the same flags; else choose another --run_dir, or delete "
            + f"the folder {folder}."
        )
    return folder
