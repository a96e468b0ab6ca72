"""The thin cloud: AWS answered by small fakes in memory, for simulations that make millions of calls."""
