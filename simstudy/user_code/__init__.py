"""What can be known of a user's code and files: dependencies, hashes, lines in a traceback.

`dependencies` finds the modules and `data_files` the data that a study reaches, `code_hash` and
`syntax` write them as text that is the same in every process, `sent_modules` imports them where
there are no files, `tracebacks` names the user's lines, `time_limit` stops code that hangs. Imports
nothing of simstudy but the names of processes and itself.
"""
