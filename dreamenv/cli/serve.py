"""The command that serves dreams to learners elsewhere: serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamenv.cli.door import complete_dream

PANEL = "Serve dreams"
DOORS = "Who may come in"
LIMITS = "How much"
WATCH = "To watch it"


def add_to(app: typer.Typer) -> None:
    """Register this file's command."""
    app.command(rich_help_panel=PANEL)(serve)


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DREAM",
            help="A shipped id, a package's folder, or a hub id; may be repeated. All shipped "
            "ones by default.",
            autocompletion=complete_dream,
        ),
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where; port 0 lets the system choose.")
    ] = "127.0.0.1:50051",
    device: Annotated[str, typer.Option(help="Where dreams run: cpu, cuda.")] = "cpu",
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the models: faster steps, a slower start.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch; its own choice by default.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="The server's certificate, PEM.", rich_help_panel=DOORS)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its private key, PEM.", rich_help_panel=DOORS)
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            help="Clients must show a certificate of this authority.", rich_help_panel=DOORS
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="Lines of client-name:token, one of which clients must send; read again when it "
            "changes.",
            rich_help_panel=DOORS,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Let other machines in without TLS and tokens.",
            rich_help_panel=DOORS,
        ),
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="The key that signs snapshots, made if absent; in the user's state folder by "
            "default.",
            rich_help_panel=DOORS,
        ),
    ] = None,
    lanes: Annotated[
        int,
        typer.Option(min=1, help="For each model and kind of observation.", rich_help_panel=LIMITS),
    ] = 1024,
    lanes_per_client: Annotated[
        int | None, typer.Option(min=1, help="No limit by default.", rich_help_panel=LIMITS)
    ] = None,
    sessions_per_client: Annotated[
        int | None, typer.Option(min=1, help="No limit by default.", rich_help_panel=LIMITS)
    ] = None,
    steps_per_second: Annotated[
        float | None,
        typer.Option(
            help="Lane-steps of a client, on average; no limit by default.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    rollout_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Lane-steps of one rollout; no limit by default.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_message_mb: Annotated[
        int, typer.Option(min=1, help="Largest message, in MiB.", rich_help_panel=LIMITS)
    ] = 64,
    lease_seconds: Annotated[
        float,
        typer.Option(help="How long a session outlives its connection.", rich_help_panel=LIMITS),
    ] = 60.0,
    drain_seconds: Annotated[
        float,
        typer.Option(help="How long sessions go on after SIGTERM.", rich_help_panel=LIMITS),
    ] = 30.0,
    health_address: Annotated[
        str | None,
        typer.Option(
            metavar="unix:/PATH|127.0.0.1:PORT",
            help="A door for health checks alone, without TLS, on this machine.",
            rich_help_panel=WATCH,
        ),
    ] = None,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Metrics for Prometheus, as 127.0.0.1:9464; anyone who reaches it reads them.",
            rich_help_panel=WATCH,
        ),
    ] = None,
    log_format: Annotated[
        str, typer.Option(metavar="text|json", help="Of the log.", rich_help_panel=WATCH)
    ] = "text",
    log_level: Annotated[
        str,
        typer.Option(
            metavar="debug|info|warning|error",
            help="Least that is logged.",
            rich_help_panel=WATCH,
        ),
    ] = "info",
) -> None:
    """Serve dreams over gRPC, from one machine to many learners.

    [cyan]dreamenv serve --model Dream-CarRacing-v0[/cyan]

    Learners then add one keyword: [cyan]gym.make(…, server="127.0.0.1:50051")[/cyan]. Other
    machines are let in with TLS and a token:

    [cyan]dreamenv serve --address 0.0.0.0:50051 --tls-cert … --tls-key … --token-file …[/cyan]
    """
    try:
        from dreamenv_server.logs import set_up
        from dreamenv_server.process import serve as run
        from dreamenv_server.quotas import QuotaConfig
        from dreamenv_server.server import DreamServer, ServerConfig
    except ModuleNotFoundError as error:
        if error.name != "dreamenv_server":
            raise
        raise ImportError('serve: the server is not here; pip install "dreamenv[server]"') from None
    import asyncio

    set_up(log_format, log_level)
    config = ServerConfig(
        address=address,
        models=tuple(model or ()),
        device=device,
        compile=compile,
        lanes=lanes,
        threads=threads,
        lease_seconds=lease_seconds,
        drain_seconds=drain_seconds,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        token_file=token_file,
        insecure=insecure,
        key_file=key_file,
        health_address=health_address,
        metrics_address=metrics_address,
        quotas=QuotaConfig(
            lanes_per_client=lanes_per_client,
            sessions_per_client=sessions_per_client,
            steps_per_second=steps_per_second,
            rollout_steps=rollout_steps,
        ),
        max_message_mb=max_message_mb,
    )

    def ready(server: DreamServer) -> None:
        typer.echo(f"serving {', '.join(server.models)} on {server.address}")

    asyncio.run(run(config, ready))
