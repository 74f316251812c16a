"""SQL that people of a box write: run, bound, split, and its rows as JSON values."""
