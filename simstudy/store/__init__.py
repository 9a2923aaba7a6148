"""A results folder: blocks, manifest, fingerprint of the code, what may be added to it."""
