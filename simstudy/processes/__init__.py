"""The program's own processes: their names, signals, and how none outlives its parent.

Nothing here knows what they compute.
"""
