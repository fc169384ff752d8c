"""Generated from protos/dreamenv/v1 by `make protos`."""
