"""The C++ runtime that is compiled into every model, and the Python side that loads models."""
