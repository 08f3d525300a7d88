"""Files that somebody else may have made: read within limits of size, and nothing in them is run."""
