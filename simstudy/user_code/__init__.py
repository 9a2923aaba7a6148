"""What can be known of a user's code and files: dependencies, hashes, lines in a traceback.

Nothing here runs it, but for the time limit that stops it. Imports nothing of simstudy but itself.
"""
