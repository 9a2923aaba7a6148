"""A likelihood and its maximum: model, arrays, derivatives, the fit and the judge of the fit.

Functions of arrays with leading axes. No standard errors are made here, no tables, no files.
"""
