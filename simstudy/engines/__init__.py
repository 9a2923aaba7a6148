"""Two ways to answer a range of replicates with one block: a plain loop, and one batched program.

`loop` is the reference and can do everything; `batched` does what JAX can trace, in `programs` that
are compiled once, and leaves the rest to the loop. It needs the extra `jax`. Both answer with the
same block. Nothing here knows of workers or folders.
"""
