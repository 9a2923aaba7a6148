"""Writing files whole, reading them back, and taking turns at a folder.

Nothing here knows what the files are about.
"""
