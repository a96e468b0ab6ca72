"""One thin handler per entry point. Each is deployed as a file of its own; what they share is in the layer."""
