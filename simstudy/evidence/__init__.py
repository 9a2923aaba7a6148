"""From anybody's table to performance measures, their Monte Carlo errors and verdicts.

Knows the names of the columns, and nothing of models, methods, engines or folders.
"""
