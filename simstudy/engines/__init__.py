"""Two ways to answer a range of replicates with one block: a plain loop, and one batched program.

The batched one needs the extra `jax`. Nothing here knows of workers or folders.
"""
