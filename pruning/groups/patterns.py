"""Regular expressions that choose weights by their names."""

import re
from typing import Any

from tfgumbel.internal import validation


def compiled(argument: str, pattern: Any) -> re.Pattern[str]:
    """The expression, compiled; ValueError names the argument that it was given as."""
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(
            validation.describe(
                f"`{argument}` holds no regular expression.",
                expected="a name such as 'dense/kernel', or an expression searched in names",
                received=pattern,
                fix=f"mend it ({error}); a character such as ( or [ stands for itself after a \\",
            )
        ) from error
