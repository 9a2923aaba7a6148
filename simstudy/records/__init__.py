"""What one replicate leaves: blocks of arrays, and the rows of the table made from them.

The names and types of all columns are here, and the judgement of an answer (what may be called ok).
Nothing here knows a study, a model or a file format but the table's own.
"""
