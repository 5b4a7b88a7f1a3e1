"""The only importers of docker and grpc; their errors are translated here."""
