"""Running a study: from what is pending to what is stored.

`preflight` (plan) looks at everything and writes nothing: `options`, `first_look`, `engine_choice`,
`tasks`. `execute` (runner) does what the plan says: `collecting` takes tasks through `supervisor`
and its `pools` (`workers`, `dask_cluster`, `executors`) to what a worker does (`work`), and saves
the answers. `sequential` does both until a goal is reached; `replay` runs one replicate again.
Nothing here knows how a number is computed, or what is said of it.
"""
