"""Run the command line as `python -m simstudy`."""

from simstudy.cli import command

if __name__ == "__main__":
    raise SystemExit(command())
