"""Measurements of ait beside other engines; README.md and docs/guide.md say what was found."""
