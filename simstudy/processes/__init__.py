"""The program's own processes: their names, signals, and how none outlives its parent.

`names` tells whether the process of a name has ended, `interrupts` what a signal does to a run,
`guardian` ends what does not end by itself. Nothing here knows what the processes compute.
"""
