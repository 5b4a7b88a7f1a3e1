"""A BuildKit client over gRPC: Solve, Status and Session, for engines and for buildkitd.

A library of its own: it needs grpcio, protobuf and h2, of this project only
``runners.model``. In use::

    from runners.clients.buildkit.client import BuildKitClient
    from runners.clients.buildkit.localfs import LocalFS
    from runners.clients.buildkit.options import Output, SolveOptions
    from runners.clients.buildkit.transport import EngineTransport, unix_dialer

    transport = EngineTransport(unix_dialer("/var/run/docker.sock"))
    with BuildKitClient(transport, client_id="…") as client, LocalFS("src") as context:
        result = client.solve(
            SolveOptions(context=context, tags=("demo:1",), build_args={"A": "1"}),
            progress=progress,      # optional: status.Progress
            cancel=cancellation,    # optional: runners.model.cancellation.Cancellation
        )
        result.image_id, result.digest, result.references, result.base_images

The parts: ``transport`` (EngineTransport takes a *dialer*, a function that
returns a fresh connected socket; BuildkitdTransport an address and TLS files),
``options`` (SolveOptions, Output, TarContext, SolveResult), ``contextfs`` (the
protocol of a tree to send) with ``localfs``, ``tarfs`` and ``memoryfs``,
``auth`` (Login, static_logins, DockerConfigLogins), ``secrets`` (Secret),
``status`` (Progress, Vertex). ``BuildKitClient`` also has ``facts()``,
``version()``, ``disk_usage()`` and ``prune()``. Errors are those of
``runners.model.errors``. docs/buildkit-client.md tells the rest.

Nothing is imported here: grpc alone takes 90 ms.
"""
