"""Every Python block of README, BUILD and the documentation's pages is a test.

The blocks of a page run in order, in one namespace and in an empty folder; those that start with
`>>>` are doctests. What a fragment needs and a reader does not stands in a comment before it,
`<!--- invisible-code-block: python ... -->`; the few that cannot run say why:
`<!--- skip: next "reason" -->`.
"""

import contextlib
import doctest
import tempfile

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


def _enter_empty_folder(namespace):
    stack = namespace["_stack"] = contextlib.ExitStack()
    stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))


def _leave(namespace):
    namespace["_stack"].close()


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE),
        SkipParser(),
    ],
    patterns=["README.md", "BUILD.md", "docs/*.md", "docs/**/*.md"],
    setup=_enter_empty_folder,
    teardown=_leave,
).pytest()
