"""Executes runs: claims them, keeps their leases, records what they do, ends them once."""
