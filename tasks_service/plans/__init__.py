"""Pure: a task file's text and values in, a Plan or every problem out."""
