"""The systems of the runbooks: each with its resources, its load, and the named causes of its failures."""
