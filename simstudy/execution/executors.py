"""Somebody's executor: what its workers run, compared with what runs at home before they work."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from simstudy.errors import StudyError
from simstudy.estimators.protocol import describe
from simstudy.execution.dask_cluster import on_dask
from simstudy.processes.names import process_name
from simstudy.store.fingerprint import renewed, versions


@dataclass(frozen=True, slots=True)
class Home:
    """What runs where a study was started, for workers elsewhere to compare with.

    Attributes
    ----------
    process : str
        Its name.
    versions : dict
        As `fingerprint.versions` returns them.
    accepted : bool
        Whether workers may run other versions.
    limited : bool
        Whether a replicate that hangs takes its process with it.
    """

    process: str
    versions: dict[str, str]
    accepted: bool
    limited: bool

    @classmethod
    def here(cls, accepted: bool, limited: bool) -> Home:
        """Describe this process."""
        return cls(process_name(), versions(), accepted, limited)

    def compared(self) -> list[str]:
        """Name what differs in this process, a worker; nothing where nothing does.

        Raises
        ------
        StudyError
            Where versions differ and are not accepted, or where this is the process at home and a
            time limit would end it.
        """
        if self.limited and process_name() == self.process:
            raise StudyError(
                "the executor runs tasks in this process (threads), where nothing can end a "
                "replicate that hangs but the end of this process: leave timeout out, or give an "
                "executor with processes"
            )
        lines = renewed(self.versions, versions(), ("here", "on a worker"))
        if lines and not self.accepted:
            raise StudyError(
                "workers run something else, and results are never mixed:\n  "
                + "\n  ".join(lines)
                + "\ninstall the same there, or, where no number differs, go on with "
                "--accept-versions"
            )
        return lines

    def answer(self) -> list[str] | StudyError:
        """Return what `compared` returns or raises: what is raised on a worker, Dask prints."""
        try:
            return self.compared()
        except StudyError as error:
            return error


def survey(executor: Executor, home: Home) -> list[str]:
    """Ask the workers of an executor what they run, before there is work; name what differs.

    All that a Dask cluster has, and one of another executor; those that come later are asked with
    their first task (see `Home.compared`).

    Raises
    ------
    StudyError
        Where they differ and are not accepted, or where they cannot say.
    """
    try:
        if on_dask(executor):
            client: Any = executor._client  # type: ignore[attr-defined]
            answered = list(client.run(home.answer, on_error="return").values())
        else:
            answered = [executor.submit(home.answer).result()]
        for answer in answered:
            if isinstance(answer, BaseException):
                raise answer
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(
            f"no worker can say what it runs ({describe(error)}): the same simstudy must be "
            "installed there, and the executor must take tasks"
        ) from error
    return list(dict.fromkeys(line for answer in answered for line in answer))
