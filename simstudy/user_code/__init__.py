"""What can be known of code and files that the user wrote: what it reaches, its hash, its lines.

Nothing here runs it, but for the time limit that stops it. Imports nothing of simstudy but itself.
"""
