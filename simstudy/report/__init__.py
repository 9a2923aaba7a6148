"""What people look at: the page, the table for a terminal, and the tables for papers.

`page` puts a report together from `sections`, `failures` and the figures of `drawing`; `words` has
its words, `filters` what keeps names of others from being read as markup.
"""
