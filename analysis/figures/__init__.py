"""The figures: a module each, drawn in one style from a stored cube."""
