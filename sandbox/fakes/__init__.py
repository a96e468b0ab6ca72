"""Answers to the operations that moto lacks: one small module per gap, each naming the gap that it fills."""
