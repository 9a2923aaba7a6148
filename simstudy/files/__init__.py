"""Writing files atomically, reading them back, and locking a results folder.

Every file that another program may open is written by `writing`, the lock of a folder is
`folder_lock`. Nothing here knows what the files are about.
"""
