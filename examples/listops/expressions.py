"""Expressions of ListOps: how they are written, what they are worth, how they are drawn.

Nangia and Bowman (2018): nested lists of digits under four operators, the value again a digit. An
expression is a tuple of tokens, indices into TOKENS; the parentheses of the published files say
nothing that the brackets do not, and are left out as the published models leave them out.
"""

import random

OPERATORS = ("MIN", "MAX", "MED", "SM")
# An operator opens a list, "]" closes it.
TOKENS = (*(f"[{name}" for name in OPERATORS), *"0123456789", "]")
FIRST_DIGIT = len(OPERATORS)
CLOSE = len(TOKENS) - 1
MAX_ARGUMENTS = 5
MAX_DEPTH = 20
OPERATOR_PROBABILITY = 0.25

_INDEX = {token: index for index, token in enumerate(TOKENS)}


def parse(text):
    """Reads an expression, with or without parentheses, and checks that it is one.

    Args:
        text: such as "[MAX 2 [MIN 4 7 ] ]", or with a parenthesis around each pair.

    Returns:
        tokens: tuple of ints.

    Raises:
        ValueError: if a token is unknown, or the brackets do not match.
    """
    words = text.split()
    try:
        tokens = tuple(_INDEX[word] for word in words if word not in ("(", ")"))
    except KeyError as error:
        raise ValueError(
            f"Expected tokens among {' '.join(TOKENS)} and parentheses. Received: {error}."
        ) from None
    merges(tokens)
    return tokens


def plain(tokens):
    """Writes an expression without parentheses."""
    return " ".join(TOKENS[token] for token in tokens)


def bracketed(tokens):
    """Writes an expression as the published files do: a parenthesis around each merge of two."""
    parts = [TOKENS[token] for token in tokens]
    for position in merges(tokens):
        parts[position : position + 2] = [f"( {parts[position]} {parts[position + 1]} )"]
    return parts[0]


def evaluate(tokens):
    """Value of an expression, 0 to 9.

    MED is the median rounded down, between the two in the middle of an even number; SM the sum
    modulo 10.
    """
    stack = [[]]
    for token in tokens:
        if token < FIRST_DIGIT:
            stack.append([token])
        elif token < CLOSE:
            stack[-1].append(token - FIRST_DIGIT)
        else:
            operator, *arguments = stack.pop()
            stack[-1].append(_apply(OPERATORS[operator], sorted(arguments)))
    return stack[0][0]


def _apply(operator, arguments):
    """Value of an operator on digits in rising order."""
    if operator == "MIN":
        return arguments[0]
    if operator == "MAX":
        return arguments[-1]
    if operator == "SM":
        return sum(arguments) % 10
    middle = len(arguments) // 2
    return (arguments[middle] + arguments[~middle]) // 2


def merges(tokens):
    """The published binary tree: a list is its operator, to which argument by argument is joined.

    Returns:
        positions: list of ints, one a merge from the bottom to the root, in an order that a parser
            could take: each merges the node at that position, counted among those that there are
            then, with the next.

    Raises:
        ValueError: if the tokens are no expression.
    """
    # Nodes at a time: complete ones and open lists, one entry for each node left of the cursor.
    positions, open_lists, nodes = [], [], 0
    for token in tokens:
        if token < FIRST_DIGIT:
            open_lists.append(nodes)
            nodes += 1
            continue
        if not open_lists and (nodes or token == CLOSE):
            raise ValueError(f"Expected a single expression. Received: {plain(tokens)!r}.")
        nodes += 1
        if open_lists:
            positions.append(nodes - 2)
            nodes -= 1
        # A list that is closed is an argument of the one around it.
        if token == CLOSE and open_lists.pop() and open_lists:
            positions.append(nodes - 2)
            nodes -= 1
    if open_lists or nodes != 1:
        raise ValueError(f"Expected brackets that match. Received: {plain(tokens)!r}.")
    return positions


def spans(positions, length):
    """The constituents of a binary tree as a set of (first, past the last) tokens.

    Args:
        positions: of its merges, as `merges` returns them.
        length: number of tokens.
    """
    nodes = [(index, index + 1) for index in range(length)]
    found = set()
    for position in positions:
        merged = (nodes[position][0], nodes[position + 1][1])
        nodes[position : position + 2] = [merged]
        found.add(merged)
    return found


def generate(count, *, max_length=None, excluded=frozenset(), seed=0):
    """Draws distinct expressions by the published process, of which only short ones are returned.

    A node is a list with probability 1/4, down to depth 20, and else a digit; a list has one of the
    operators and 2 to 5 arguments, all equally likely. A draw that was seen before counts for
    nothing, so that the more are drawn, the fewer of them are short. One is given up as soon as it
    is longer than max_length and counted as new.

    Args:
        count: how many distinct ones to draw, of any length.
        max_length: tokens of the longest to return; None: of any.
        excluded: set of expressions to count as seen.
        seed: int.

    Returns:
        expressions: list of tuples, at most `count`, in order.
    """
    rng = random.Random(seed)  # noqa: S311
    seen, drawn, found = set(excluded), 0, []
    while drawn < count:
        tokens = []
        if not _grow(rng, tokens, 1, max_length):
            drawn += 1
            continue
        tokens = tuple(tokens)
        if tokens not in seen:
            seen.add(tokens)
            found.append(tokens)
            drawn += 1
    return found


def _grow(rng, tokens, depth, max_length):
    """Adds a node to the tokens; returns whether they are short enough."""
    if depth >= MAX_DEPTH or rng.random() >= OPERATOR_PROBABILITY:
        tokens.append(FIRST_DIGIT + int(10 * rng.random()))
    else:
        tokens.append(int(len(OPERATORS) * rng.random()))
        for _ in range(2 + int((MAX_ARGUMENTS - 1) * rng.random())):
            if not _grow(rng, tokens, depth + 1, max_length):
                return False
        tokens.append(CLOSE)
    return max_length is None or len(tokens) <= max_length
