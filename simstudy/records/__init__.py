"""What one replicate leaves: blocks of arrays, and the rows of the table made from them."""
