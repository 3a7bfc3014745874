"""What the core answers, as objects that can be read, printed and shown. Knows nothing of the rest of the package."""
