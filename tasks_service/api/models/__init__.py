"""The JSON of the API: pydantic at the border, frozen dataclasses behind it."""
