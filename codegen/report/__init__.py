"""The report of a compile: one HTML page that shows what was fused, what was not, and why.

`data` says what a model's launches were before and after fusion, `layout` places graphs, and
`page` writes the page.
"""
