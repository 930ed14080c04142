"""What an example prints, in a terminal of 80 columns and in a file."""

import sys
import time

import keras
import rich.box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

# Nothing is cut off in a file; a table takes what it needs of this.
FILE_WIDTH = 200
SECONDS_BETWEEN_LINES = 10.0


def console(file=None):
    """A rich Console: as wide as the terminal, or as lines need to be in a file."""
    file = sys.stdout if file is None else file
    return Console(file=file, width=None if file.isatty() else FILE_WIDTH)


def table(title, headings, rows, caption=None):
    """A narrow rich Table: words at the left, numbers at the right, long names folded.

    Args:
        title: above it.
        headings: of the columns; spaces become line breaks.
        rows: sequences of strings, one for each heading; the first is a name.
        caption: below it, or None.
    """
    made = Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=rich.box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    lines = [heading.replace(" ", "\n") for heading in headings]
    height = max(text.count("\n") for text in lines)
    for index, text in enumerate(lines):
        made.add_column(
            "\n" * (height - text.count("\n")) + text,
            justify="right" if index else "left",
            no_wrap=index > 0,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*row)
    return made


class Progress:
    """How far a computation is: a bar in a terminal; elsewhere a line now and then, and at the end.

    Args:
        description: what is being done.
        total: how much there is to do.
        done: how much of it is done already.
        unit: what is counted, plural.
        to: a `console`; None for one on standard output.
        clock: returns seconds.
    """

    def __init__(self, description, total, *, done=0, unit="", to=None, clock=time.monotonic):
        self.description, self.total, self.done = description, total, done
        self._unit = f" {unit}" if unit else ""
        self._console = console() if to is None else to
        self._clock = clock
        self._begin = self._printed = clock()
        self._bars = self._said = None

    def __enter__(self):
        if self._console.is_terminal:
            text = TextColumn("{task.description}")
            self._bars = Bars(
                text,
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bars.add_task(self.description, total=self.total)
            self._bars.start()
        else:
            self._line()
        self.update(self.done)
        return self

    def __exit__(self, kind, error, trace):
        if self._bars is not None:
            self._bars.stop()
        elif kind is None and self._said != (self.done, self.description):
            self._line()

    def update(self, done, description=None):
        """Says how much is done, and perhaps what of it is to be said."""
        self.done = done
        self.description = self.description if description is None else description
        if self._bars is not None:
            self._bars.update(self._task, completed=done, description=self.description)
        elif self._clock() - self._printed >= SECONDS_BETWEEN_LINES:
            self._line()

    def advance(self, steps):
        """Adds to what is done."""
        self.update(self.done + steps)

    def _line(self):
        self._printed, self._said = self._clock(), (self.done, self.description)
        seconds = self._printed - self._begin
        time_taken = f", {seconds:.0f} s" if seconds >= 1.0 else ""
        print(
            f"{self.description}: {self.done:,} of {self.total:,}{self._unit}{time_taken}",
            file=self._console.file,
            flush=True,
        )


class FitProgress(keras.callbacks.Callback):
    """Shows the epochs of `fit` as `Progress` does, with the loss; for `fit(verbose=0)`.

    Args:
        description: what is being trained.
        done: epochs done by an interrupted run.
    """

    def __init__(self, description, done=0):
        super().__init__()
        self._description, self._done = description, done

    def on_train_begin(self, logs=None):
        epochs = self.params["epochs"]
        self._progress = Progress(self._description, epochs, done=self._done, unit="epochs")
        self._progress.__enter__()

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss")
        text = "" if loss is None else f", loss {loss:.3g}"
        self._progress.update(epoch + 1, f"{self._description}{text}")

    def on_train_end(self, logs=None):
        self._progress.__exit__(None, None, None)
