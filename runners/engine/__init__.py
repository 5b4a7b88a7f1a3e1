"""Walk one plan: ready steps, clocks, retries, cancel, clean-up."""
