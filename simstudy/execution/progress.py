"""How far a run is, and whether it is worth going on."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from simstudy.files.writing import duration
from simstudy.records.block import Block
from simstudy.status import Status

ENOUGH = 20
SETTLED = 5.0  # seconds of answers before which a rate is none
BROKEN = (Status.data_error, Status.fit_error, Status.timeout, Status.crashed)


class Stopped(RuntimeError):
    """A run that cannot go on; what it had finished is stored, and the message says so."""


class Failing(Stopped):
    """A run that was stopped because its replicates fail; the messages are counted."""


class Failures:
    """The failures of a run, until there are too many.

    Parameters
    ----------
    most : float, optional
        The share of fits that may fail; by default the run goes on unless its first 20 replicates
        all end in an exception, a time limit or the death of a worker.
    """

    def __init__(self, most: float | None) -> None:
        """Begin to count."""
        self.most, self.seen, self.fits, self.broken, self.failed = most, 0, 0, 0, 0
        self.messages: Counter[str] = Counter()

    def add(self, blocks: Mapping[str, Block]) -> None:
        """Count a block's fits.

        Raises
        ------
        Failing
            When too many failed.
        """
        for block in blocks.values():
            status = block.audit["status"]
            self.fits += len(status)
            self.failed += int((status != Status.ok).sum())
            broken = [int(word) in BROKEN for word in status]
            self.broken += sum(broken)
            words = block.audit["message"][broken].tolist()
            self.messages.update(re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", word) for word in words)
        self.seen += len(next(iter(blocks.values())).replicate)
        if self.seen < ENOUGH:
            return
        if self.broken == self.fits:
            raise Failing(f"all of the first {self.seen} replicates failed{self._listed()}")
        if self.most is not None and self.failed > self.most * self.fits:
            raise Failing(
                f"{self.failed:,} of {self.fits:,} fits failed, more than the share of "
                f"{self.most:g} that may{self._listed()}"
            )

    def _listed(self) -> str:
        """List the distinct messages with their numbers; numbers in them are written as #."""
        lines = [f"\n  {count:,} times {text}" for text, count in self.messages.most_common(10)]
        return ":" + "".join(lines) if lines else ""


class Progress:
    """A progress bar on a terminal, a plain line every ten seconds in a log."""

    def __init__(self, total: int, quiet: bool) -> None:
        """Begin to count."""
        self.total, self.done, self.failures, self.compiling = total, 0, 0, 0.0
        self.spoken = time.monotonic()
        self.first: tuple[float, int] | None = None  # when replicates were answered first, how many
        self.bar: Any = None
        self.quiet = quiet or total == 0
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            shape = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
            self.bar = tqdm(total=total, dynamic_ncols=True, bar_format=shape)

    def add(self, replicates: int, failures: int) -> None:
        """Count replicates that were answered, and their fits that failed."""
        self.done += replicates
        self.failures += failures
        now = time.monotonic()
        self.first = self.first or (now, self.done)
        if self.bar is not None:
            self.bar.set_postfix_str(self._noted(), refresh=False)
            self.bar.update(replicates)
        elif not self.quiet and now - self.spoken >= 10:
            self.spoken = now
            print(
                f"{self.done:,} of {self.total:,} replicates, {self._noted()}",
                file=sys.stderr,
                flush=True,
            )

    def _noted(self) -> str:
        """Say the rate, as soon as it is one, failures, and the workers' seconds for compiling."""
        compiled = f", compiling {self.compiling:.1f} s" if self.compiling else ""
        return f"{self._paced()}failed fits {self.failures:,}{compiled}"

    def _paced(self) -> str:
        """Say the rate and the time left; nothing before some seconds of answers.

        The start of workers and the compiling before the first answer are no part of it.
        """
        began, before = self.first or (0.0, 0)
        spent = time.monotonic() - began
        if spent < SETTLED or self.done == before:
            return ""
        rate = (self.done - before) / spent
        return f"{rate:,.1f} per second, {duration((self.total - self.done) / rate)} left, "

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()
