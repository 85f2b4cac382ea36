"""What the fusion passes share: domains that split, code that merges, ops that move."""
