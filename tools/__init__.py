"""What is done: one file a tool; nothing here knows the terminal or a model."""
