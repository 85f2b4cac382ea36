"""Rules from graph ops to kernel ops, one file per family; `passes/lower_graph.py` applies them."""
