"""The trainings of a suite one after the other, without those whose results are there already."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras


class Training(NamedTuple):
    """One training of a suite.

    Attributes:
        wanted: what tells it from the others; its result holds the same.
        label: what progress calls it.
        measure: trains, and returns the result.
    """

    wanted: dict[str, Any]
    label: str
    measure: Callable[[], dict[str, Any]]


def complete(
    results: list[dict[str, Any]],
    trainings: Sequence[Training],
    names: Sequence[str],
    save: Callable[[list[dict[str, Any]]], None] | None,
    progress: Any,
) -> list[dict[str, Any]]:
    """Adds to the results what is missing.

    Args:
        results: those of an interrupted run that still hold.
        trainings: all that are wanted.
        names: entries of a result by which it is told from the others.
        save: called with all results after each new one, or None.
        progress: an `examples.common.console.Progress`, told of each training and how many there
            are, or None.

    Returns:
        results: the same list.
    """

    def key(result: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(result[name] for name in names)

    finished = {key(result) for result in results}
    for number, (wanted, label, measure) in enumerate(trainings, 1):
        if key(wanted) not in finished:
            results.append(measure())
            keras.utils.clear_session()
            if save is not None:
                save(results)
        if progress is not None:
            progress.total = len(trainings)
            progress.update(number, label)
    return results
