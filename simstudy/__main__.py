"""The command: `simstudy`, and `python -m simstudy`."""

import sys

from simstudy.processes.guardian import run_guarded


def command() -> int:
    """Do what `simstudy.command.main.main` does; a run has a guardian who sees to its end."""
    if sys.argv[1:2] != ["run"]:
        return _main()
    import shlex

    return run_guarded(_main, shlex.join(["simstudy", *sys.argv[1:]]))


def _main() -> int:
    """Run the command line; the end of the process does not search all that was loaded."""
    import gc

    from simstudy.command.main import main

    status = main()
    gc.freeze()
    return status


if __name__ == "__main__":
    raise SystemExit(command())
