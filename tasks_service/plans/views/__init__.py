"""What people and programs see of a compiled file: problems, JSON, pictures."""
