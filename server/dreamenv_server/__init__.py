"""Serves dreams over gRPC, from one machine to many learners."""
