"""Load: what a box does per second, and what the machine could do at all. See docs/bench.md."""
