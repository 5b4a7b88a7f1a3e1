"""What leaves the sandbox: pushes with retry, and the digests that come back."""
