"""What goes wrong by the hand of who wrote the study, in a sentence that says what to do."""

from __future__ import annotations


class StudyError(ValueError):
    """A study that cannot be run as it stands; the message says what came and what to do."""
