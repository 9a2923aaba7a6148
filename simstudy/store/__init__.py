"""A results folder, and nothing else writes to one.

`journal` is the store: a manifest (`manifest`, `manifest_file`), checked files of blocks
(`block_files`), what is `pending`, and the `reading` of rows. `opening` decides whether a folder
takes a study: `fingerprint` describes it, `witness` keeps what replicate 0 answered, `extension`
numbers what came later. `looks` says how far a folder is. Nothing here fits or judges.
"""
