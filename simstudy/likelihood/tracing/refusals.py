"""What a stand-in says where it cannot be what it stands for."""

BRANCH = (
    "Python's if, and, or, not, while, min or max on what depends on the parameters or the data; "
    "use np.where, np.logical_and, np.maximum"
)
NUMBER = (
    "float(), a function of math, or an array that NumPy made beforehand, of what depends on the "
    "parameters or the data; use NumPy's functions, and arrays made in the same function by "
    "np.zeros, np.full or np.array"
)
LENGTH = "a length, a number of steps or an axis that depends on the parameters or the data"
MASK = (
    "x[mask] with a mask that depends on the parameters or the data, so that the length does; use "
    "np.where(mask, x, other) over all observations"
)
CALL = (
    "a call that needs numbers, not formulas: another library's, or a function of NumPy or SciPy "
    "that cannot be traced"
)
