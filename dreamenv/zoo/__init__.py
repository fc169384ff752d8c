"""What ships: dream packages, real envs and recipes, all of it data."""
