"""The command line. Imports stay inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simstudy.command.exit_status import DONE, INCOMPLETE, NOTHING_FITTED, WRONG_INPUT
from simstudy.command.performance import (
    EXPORT_EXAMPLE,
    PERFORMANCE_EXAMPLE,
    describe_export,
    describe_performance,
    export,
    performance,
)
from simstudy.command.planning import (
    PLAN_EXAMPLE,
    SELFTEST_EXAMPLE,
    describe_plan,
    describe_selftest,
    plan,
    selftest,
)
from simstudy.command.replaying import REPLAY_EXAMPLE, describe_replay, replay
from simstudy.command.running import RUN_EXAMPLE, describe_run, run
from simstudy.command.sharing import (
    COLLECT_EXAMPLE,
    SLURM_EXAMPLE,
    STATUS_EXAMPLE,
    collect,
    describe_slurm,
    slurm,
    status,
)
from simstudy.command.terminal import add_study, results_of, say
from simstudy.files.writing import printable
from simstudy.processes.guardian import FAILED
from simstudy.processes.interrupts import INTERRUPTED, last_words
from simstudy.user_code.tracebacks import short_traceback

_EXAMPLES = """\
examples:
  simstudy list                                what there is in studies/
  simstudy run gamma                           run studies/gamma.py, write results/gamma/report.html
  simstudy run path/to/mine.py --jobs 2        a study anywhere
  simstudy run gamma --replicates 5000         go on from what is there up to 5,000
  simstudy report gamma                        write the report of results/gamma again
  simstudy replay gamma --scenario 3 --replicate 174
                                               one replicate again, with all its matrices
  simstudy performance estimates.csv --estimate b --se se --truth 0.5
                                               measure anybody's table of estimates
  simstudy export gamma --format rsimsum --out gamma.csv
                                               our table for another program
  simstudy plan gamma --measure cover --mcse 0.005
                                               how many replicates that takes
  simstudy selftest                            is what simstudy reports true?

exit status: 0 done; 1 stopped by an error in the study's code or in simstudy; 2 wrong input;
3 incomplete, can be resumed; 4 nothing could be fitted; 130 interrupted, can be resumed
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(f"simstudy {version('simstudy')}")
        return DONE
    if options.command is None:
        _parser().print_help()
        return WRONG_INPUT
    from simstudy.errors import StudyError
    from simstudy.execution.progress import Failing, Stopped

    try:
        status = int(options.call(options))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the last flush fails again
        print("simstudy: what reads the output has ended; what is stored stays", file=sys.stderr)
        return FAILED
    except StudyError as error:
        say(f"simstudy: {error}")
        return WRONG_INPUT
    except Stopped as error:
        say(f"simstudy: {error}")
        return NOTHING_FITTED if isinstance(error, Failing) else INCOMPLETE
    except KeyboardInterrupt:
        print(f"\n{last_words()}", file=sys.stderr)
        return INTERRUPTED
    except (Exception, SystemExit, GeneratorExit) as error:
        say(short_traceback(error))
        print(last_words("simstudy: stopped by this exception"), file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(
        prog="simstudy",
        description="Which standard error can I trust? Draw data from known parameters, refit, "
        "and hold what every method claims against what really happened.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="say which version this is")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, call: Any, text: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(call=call)
        return command

    describe_run(
        add("run", run, "run a study as far as it is not yet done, and write its report",
            RUN_EXAMPLE))  # fmt: skip
    add_study(add("report", _report, "write the report of a study's results again",
                  "simstudy report gamma"))  # fmt: skip
    add("list", _list, "list the studies in studies/ with their aims, without importing them",
        "simstudy list")  # fmt: skip

    describe_replay(
        add("replay", replay, "run one replicate again and show everything about it",
            REPLAY_EXAMPLE))  # fmt: skip
    describe_performance(
        add("performance", performance, "measure the performance of anybody's table of estimates",
            PERFORMANCE_EXAMPLE))  # fmt: skip
    describe_export(
        add("export", _export, "write a study's table as rsimsum (R) or simsum (Stata) reads it",
            EXPORT_EXAMPLE))  # fmt: skip

    describe_plan(
        add("plan", _plan, "count the replicates for a target precision, by theory and by a pilot",
            PLAN_EXAMPLE))  # fmt: skip
    describe_selftest(
        add("selftest", selftest, "hold what simstudy reports against what is known exactly",
            SELFTEST_EXAMPLE))  # fmt: skip

    array = add("slurm", lambda options: slurm(options.study, results_of(options), options.tasks),
                "print the script of a SLURM array that runs a study", SLURM_EXAMPLE)  # fmt: skip
    add_study(array)
    describe_slurm(array)
    add_study(add("status", lambda options: status(results_of(options)),
               "say how far a study is and who works on it", STATUS_EXAMPLE))  # fmt: skip
    add_study(add("collect", lambda options: collect(results_of(options)),
               "check what shares of a run have stored, and write the report",
               COLLECT_EXAMPLE))  # fmt: skip
    return parser


def _report(options: argparse.Namespace) -> int:
    """Write the report again."""
    from simstudy.result import Result

    published = Result(results_of(options)).publish()
    print(f"report: {published.path}")
    if published.lacking:
        print(f"simstudy: {printable(published.lacking)}", file=sys.stderr)
    return INCOMPLETE if published.lacking else DONE


def _export(options: argparse.Namespace) -> int:
    """Write a study's table for another program."""
    options.out, target = None, options.out
    return export(results_of(options), options.format, target)


def _plan(options: argparse.Namespace) -> int:
    """Count replicates."""
    return plan(options, None if options.study is None else results_of(options))


def _list(options: argparse.Namespace) -> int:
    """List names and aims, reading the files without importing them."""
    paths = sorted(Path("studies").glob("*.py"))
    if not paths:
        print("no studies: there is no file studies/*.py here", file=sys.stderr)
        return WRONG_INPUT
    for path in paths:
        try:
            aims = (
                ast.get_docstring(ast.parse(path.read_bytes())) or "(no docstring states its aims)"
            )
        except SyntaxError as error:
            aims = f"(cannot be read: line {error.lineno}: {error.msg})"
        print(f"{path.stem:<16} {aims.splitlines()[0]}")
    return DONE
