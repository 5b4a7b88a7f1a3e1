"""A BuildKit client over gRPC."""
