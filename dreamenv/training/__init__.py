"""Fit world models on real episodes."""
