"""Writing files atomically, reading them back, and locking a results folder.

Nothing here knows what the files are about.
"""
