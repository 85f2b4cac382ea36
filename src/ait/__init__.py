"""ait: a multi-level IR compiler for deep-learning inference."""
