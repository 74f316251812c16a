"""From what is desired of a box to what is observed: plan, steps, job runner, sweep."""
