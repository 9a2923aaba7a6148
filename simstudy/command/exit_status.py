"""What the command's exit status means; 1 and 130 are those of the guardian and of an interrupt."""

DONE, WRONG_INPUT, INCOMPLETE, NOTHING_FITTED = 0, 2, 3, 4
