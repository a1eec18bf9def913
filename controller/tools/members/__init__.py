"""Members of the council: each a file that says what it looks at and how it votes."""
