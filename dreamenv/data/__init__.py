"""Real episodes: collected, stored as plain files, read without loading them."""
