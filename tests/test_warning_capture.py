"""Warnings are kept in the thread that they come from, and the filters are left as they were."""

import threading
import warnings

import pytest

from simstudy.warning_capture import captured_warnings


def test_each_kind_once_whatever_the_filters(recwarn):
    kinds = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with captured_warnings(kinds):
            for _ in range(2):
                warnings.warn("a\nb", stacklevel=1)
                warnings.warn("a", RuntimeWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="after"):
            warnings.warn("after", stacklevel=1)
    assert list(kinds) == ["UserWarning: a", "RuntimeWarning: a"]
    assert not recwarn.list


def test_the_innermost_hears():
    outer, inner = {}, {}
    with captured_warnings(outer):
        with captured_warnings(inner):
            warnings.warn("one", stacklevel=1)
        warnings.warn("two", stacklevel=1)
    assert (list(inner), list(outer)) == (["UserWarning: one"], ["UserWarning: two"])


def test_threads_hear_their_own_and_leave_the_filters_as_they_were():
    """The first to begin ends last: each thread alone would restore what another had set."""
    before, shown = warnings.filters[:], warnings.showwarning
    heard = {name: {} for name in "ab"}
    turn = {name: threading.Event() for name in ("a in", "b in", "a out")}

    def first():
        with captured_warnings(heard["a"]):
            turn["a in"].set()
            turn["b in"].wait(10)
            warnings.warn("of a", stacklevel=1)
        turn["a out"].set()

    def second():
        turn["a in"].wait(10)
        with captured_warnings(heard["b"]):
            turn["b in"].set()
            turn["a out"].wait(10)
            warnings.warn("of b", stacklevel=1)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: list(kinds) for name, kinds in heard.items()} == {
        "a": ["UserWarning: of a"], "b": ["UserWarning: of b"]
    }  # fmt: skip
    assert warnings.filters == before
    assert warnings.showwarning is shown
