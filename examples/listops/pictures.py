"""Trees that were learned, beside the true ones."""

from examples.common import figures
from examples.listops import expressions

TRUE, FALSE = figures.COLORS[0], figures.COLORS[1]


def longest(lines, count=4):
    """Some expressions for the picture: long ones, whose trees differ most."""
    lists = [line for line in lines if sum(token < expressions.FIRST_DIGIT for token in line) > 1]
    return sorted(lists or lines, key=len, reverse=True)[:count]


def draw(trained, folder):
    """Leaves the trees of some test lines in trees.png; returns its path."""
    lines = longest(trained.splits.test)
    return trees(lines, trained.trees(lines), folder / "trees.png")


def trees(lines, learned, path):
    """A row for each expression: its true tree at the left, the learned one at the right.

    What the two have in common is blue; the rest of the learned tree is red.

    Args:
        lines: token tuples.
        learned: positions of the merges of each, as `expressions.merges` gives the true ones.
        path: of the picture.

    Returns:
        path: as a pathlib.Path.
    """
    with figures.new_figure(8.5, 1.9 * len(lines) + 0.4) as figure:
        grid = figure.subplots(len(lines), 2, squeeze=False)
        for row, line, positions in zip(grid, lines, learned, strict=True):
            true = expressions.merges(line)
            shared = expressions.spans(true, len(line))
            for axes, tree in zip(row, (true, positions), strict=True):
                _tree(axes, line, tree, shared)
        grid[0, 0].set_title("true")
        grid[0, 1].set_title("learned; blue: a constituent of the true tree")
        return figures.save(figure, path)


def _tree(axes, line, positions, shared):
    """Draws one binary tree above its tokens."""
    # Of each node: first token, past the last, where it stands and how high.
    nodes = [(index, index + 1, float(index), 0.0) for index in range(len(line))]
    for position in positions:
        left, right = nodes[position : position + 2]
        place, height = (left[2] + right[2]) / 2, max(left[3], right[3]) + 1.0
        color = TRUE if (left[0], right[1]) in shared else FALSE
        for child in (left, right):
            axes.plot([place, child[2]], [height, child[3]], color=color, linewidth=1.4)
        axes.plot([place], [height], marker="o", markersize=3.5, color=color)
        nodes[position : position + 2] = [(left[0], right[1], place, height)]
    for index, token in enumerate(line):
        text = expressions.TOKENS[token]
        axes.text(index, -0.35, text, ha="center", va="top", fontsize=8)
    axes.set_ylim(-1.6, nodes[0][3] + 0.5)
    axes.set_xlim(-0.7, len(line) - 0.3)
    axes.set_axis_off()
