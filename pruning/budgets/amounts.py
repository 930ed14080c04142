"""What `k` and `scope` of `prune` mean: a number of weights for each segment of a budget."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pruning.groups.patterns import compiled
from tfgumbel.internal import validation


def resolve_amount(k: Any, size: int) -> int:
    """Number of weights kept out of `size`: an int is a count, a float a fraction.

    Example:
        >>> resolve_amount(0.02, 266_200), resolve_amount(100, 266_200)
        (5324, 100)
    """
    number = not isinstance(k, bool) and isinstance(k, numbers.Real)
    count = number and isinstance(k, numbers.Integral)
    if number and (1 <= k <= size if count else 0.0 < k <= 1.0):
        return int(k) if count else max(1, int(np.floor(float(k) * size + 0.5)))
    raise (ValueError if number else TypeError)(
        validation.describe(
            "`k` is no budget of this model.",
            expected=f"an int from 1 to {size}, the weights that can be pruned, or a fraction in "
            "(0, 1] of them",
            received=k,
            fix="pass 0.02 to keep 2%, or 100 to keep a hundred weights",
        )
    )


def amounts(k: Any, scope: Any, sizes: Mapping[str, int]) -> list[int]:
    """Weights kept in each segment: one for all targets, or one for each.

    Args:
        k: a fraction or a count, None with a mapping as `scope`.
        scope: `"global"`, `"layer"`, or a mapping to a k of its own from each target's name, or
            from a regular expression searched in the names, for every target that it fits alone.
        sizes: number of weights by the name of each target.

    Raises:
        TypeError: `k` is no number.
        ValueError: `k` or `scope` is out of range, or both are given where one says everything.
    """
    if isinstance(scope, Mapping):
        return _mapped(k, scope, sizes)
    if k is None:
        raise ValueError(
            validation.describe(
                "`k` is missing.",
                expected="a fraction, or the number of weights to keep",
                received=k,
                fix="pass k=0.02 to keep 2%",
            )
        )
    size = sum(sizes.values())
    amount = resolve_amount(k, size)
    if scope == "global":
        return [amount]
    if scope == "layer":
        return _shares(amount, [amount / size * part for part in sizes.values()])
    raise ValueError(
        validation.describe(
            "`scope` is unknown.",
            expected="'global', 'layer', or a mapping from targets' names to their k",
            received=scope,
            fix="leave it out for one budget over all targets",
        )
    )


def _mapped(k: Any, scope: Mapping[str, Any], sizes: Mapping[str, int]) -> list[int]:
    if k is not None:
        raise ValueError(
            validation.describe(
                "`k` does not go with a mapping as `scope`.",
                expected="no `k`: the mapping gives every target its own",
                received=k,
                fix="leave `k` out",
            )
        )
    patterns = {key: compiled("scope", key) for key in scope if key not in sizes}
    chosen = {
        name: [name] if name in scope else [key for key, p in patterns.items() if p.search(name)]
        for name in sizes
    }
    several = {name: keys for name, keys in chosen.items() if len(keys) > 1}
    if several:
        raise ValueError(
            validation.describe(
                "`scope` gives a target more than one k.",
                expected="for each target its name, or one regular expression that it fits",
                received=several,
                fix="narrow the expressions, such as to '^dense_1/kernel$'",
            )
        )
    missing = [name for name, keys in chosen.items() if not keys]
    unknown = [key for key in scope if [key] not in chosen.values()]
    if missing or unknown:
        raise ValueError(
            validation.describe(
                "`scope` does not name every target.",
                expected=f"keys that are, or fit as regular expressions, {list(sizes)}",
                received=list(scope),
                fix=f"add {missing}, remove {unknown}; `exclude` leaves a weight dense",
            )
        )
    return [resolve_amount(scope[keys[0]], sizes[name]) for name, keys in chosen.items()]


def _shares(amount: int, quotas: Sequence[float]) -> list[int]:
    """Rounds quotas down and gives the rest of the amount to the largest remainders."""
    counts = [int(np.floor(quota)) for quota in quotas]
    order = sorted(range(len(quotas)), key=lambda i: counts[i] - quotas[i])
    for i in order[: amount - sum(counts)]:
        counts[i] += 1
    return counts
