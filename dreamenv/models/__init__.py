"""World-model families."""
