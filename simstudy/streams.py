"""The only source of randomness: one stream per (seed, scenario, replicate, purpose).

A stream is NumPy's counter-based Philox generator (Salmon, Moraes, Dror & Shaw 2011, SC'11). Its
128-bit key is a hash of (seed, scenario key, purpose), its counter starts at the replicate's number
times 2**128: streams of one key cannot overlap, those of different keys are independent, and
nothing depends on the order in which scenarios, methods or replicates are visited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

Stream = Callable[[str], np.random.Generator]


def stream(seed: int, scenario: str, replicate: int, purpose: str) -> np.random.Generator:
    """Return the generator of one replicate and purpose.

    Parameters
    ----------
    seed : int
        The study's seed, not negative.
    scenario : str
        The scenario's key.
    replicate : int
        Number of the replicate, from 0.
    purpose : str
        What the numbers are for: "data" for the data set, a method's name for its resampling.

    Returns
    -------
    numpy.random.Generator
        Always the same numbers for the same four arguments.

    Examples
    --------
    >>> from simstudy.streams import stream
    >>> a = stream(1, "gamma n=20", 7, "data").normal()
    >>> b = stream(1, "gamma n=20", 7, "data").normal()
    >>> a == b, a == stream(1, "gamma n=20", 8, "data").normal()
    (True, False)
    """
    counter = np.array([0, 0, replicate, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=_key(seed, scenario, purpose), counter=counter))


def renewable(seed: int, scenario: str, purpose: str) -> Callable[[int], np.random.Generator]:
    """Return `stream` as a function of the replicate, ten times as fast: one generator, set anew.

    Only for numbers that are drawn before the next generator is asked for.

    Examples
    --------
    >>> from simstudy.streams import renewable, stream
    >>> renewed = renewable(1, "gamma n=20", "data")
    >>> renewed(7).normal() == stream(1, "gamma n=20", 7, "data").normal()
    True
    """
    generator = stream(seed, scenario, 0, purpose)
    fresh = generator.bit_generator.state

    def renew(replicate: int) -> np.random.Generator:
        fresh["state"]["counter"][2] = replicate
        generator.bit_generator.state = fresh
        return generator

    return renew


def _key(seed: int, scenario: str, purpose: str) -> np.ndarray:
    """Hash seed, scenario and purpose to the two words of a Philox key."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (str(int(seed)), scenario, purpose):
        text = part.encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return np.frombuffer(digest.digest(), dtype="<u8")
