"""What gives estimates: maximum likelihood, or anybody's function, behind one protocol."""
