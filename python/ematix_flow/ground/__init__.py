"""What the rest stands on: errors, places in the user's files, mistakes told there, names, values."""
