"""Refusals that several functions share: of a level, a name, a word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def check_level(level: float) -> None:
    """Refuse a level that is not between 0 and 1."""
    if not 0 < level < 1:
        hint = f"; did you mean {level / 100:g}?" if 10 <= level < 100 else ""
        raise ValueError(f"level is {level:g}; it must lie between 0 and 1{hint}")


def check_known(what: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not known, with the names that are and the closest of them."""
    names = dict.fromkeys(map(str, known))
    for name in asked:
        if str(name) not in names:
            alike = [known for known in names if known.lower() == str(name).lower()]
            close = alike or difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            listed = ", ".join([*names][:30]) + (", ..." if len(names) > 30 else "")
            raise ValueError(f"there is no {what} {name!r}{hint} There are: {listed}")


def is_morris(mcse: str) -> bool:
    """Return whether the normal-theory error is asked for; refuse other words."""
    if mcse not in ("robust", "morris"):
        raise ValueError(f"mcse is {mcse!r}; it is 'robust' (the default) or 'morris'")
    return mcse == "morris"
