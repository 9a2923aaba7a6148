"""The command line: one file for each group of commands; only words and exit statuses live here.

Imports stay inside the commands, so that `simstudy --help` answers at once.
"""
