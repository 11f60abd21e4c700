"""The `cachefleet` command: options in, one clear line out when something is wrong, exit codes 0, 1, 3.

Starts the service through `app`; asks it anything else as any other client of the public API would. Must stay quick to
start, since shells evaluate `cachefleet env`: what a command needs is imported when it runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cachefleet.cli.failure import in_words
from cachefleet.cli.users_app import users_app
from cachefleet.settings import Settings, load

app = typer.Typer(
    help="Amazon ElastiCache on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
engines_app = typer.Typer(help="Engines of this machine.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(engines_app, name="engines")
zone_app = typer.Typer(help="Zones of this machine: rehearse the loss of one.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(zone_app, name="zone")

keys_app = typer.Typer(help="Keys that seal snapshots.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys_app, name="keys")
snapshot_app = typer.Typer(
    help="Snapshots, and the proof that they can be restored.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(users_app, name="users")

ca_app = typer.Typer(help="The certificate authority of caches with TLS.", rich_markup_mode=None)
app.add_typer(ca_app, name="ca")

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder (default: in the XDG state folder).")
]

ZoneArgument = Annotated[str, typer.Argument(metavar="a|b|c", help="The zone's letter.")]
KeyArgument = Annotated[str, typer.Argument(metavar="NAME", help="The key's name.")]


def _settings(**options: Any) -> Settings:
    """File and variables, then those options that were given. Raises SettingsError."""
    return load(os.environ, {name: str(value) if isinstance(value, Path) else value for name, value in options.items()})


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"cachefleet {version('cachefleet')}")
        raise typer.Exit


@app.callback()
def cachefleet(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Amazon ElastiCache on your own machines."""


@app.command()
def up(
    data: DataOption = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where the API listens (127.0.0.1:8300).")] = None,
    region: Annotated[str | None, typer.Option(metavar="NAME", help="The region of `env` and the demo (local-1).")] = None,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="postgresql+asyncpg://... instead of SQLite in the data folder.")
    ] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Do not make the replication group `demo`.")] = False,
) -> None:
    """Run the service until Ctrl-C. Caches go on without it."""
    from cachefleet.cli.up import run_up

    chosen = _settings(data=data, listen=listen, region=region, database_url=database_url, demo=False if no_demo else None)
    raise typer.Exit(run_up(chosen))


@app.command()
def env(data: DataOption = None) -> None:
    """Print `export` lines for AWS clients: eval "$(cachefleet env)"."""
    from cachefleet.cli.environment import export_lines

    for line in export_lines(_settings(data=data)):
        print(line)


@app.command()
def down(
    data: DataOption = None,
    keep_caches: Annotated[bool, typer.Option("--keep-caches", help="Stop the service only; caches go on.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Stop also what is to be saved and cannot be.")] = False,
) -> None:
    """Stop the services and their caches. Groups stay in the database: the next `up` starts their nodes again, empty, or with
    their data where they are saved (setting archive.save_on_down, tag cachefleet:save-on-down)."""
    from cachefleet.cli.down import run_down
    from cachefleet.clock import SystemClock, SystemEntropy

    run_down(_settings(data=data), SystemClock(), SystemEntropy(), keep_caches=keep_caches, discard=discard)


@app.command()
def status(data: DataOption = None) -> None:
    """Show the services and the groups. Exit code 3: none is running."""
    from cachefleet.cli.status import show_status

    raise typer.Exit(show_status(_settings(data=data)))


@app.command()
def events(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="A replication group with its clusters, a cluster, a user (default: all).")
    ] = "",
    minutes: Annotated[int, typer.Option(metavar="N", min=1, max=20160, help="How far back, up to 14 days.")] = 60,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")] = False,
    data: DataOption = None,
) -> None:
    """Show what became of caches, and why something failed, oldest first."""
    from cachefleet.cli.events import show_events
    from cachefleet.clock import SystemClock

    show_events(_settings(data=data), name.lower(), minutes, SystemClock(), follow=follow)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A replication group or cluster whose logs go to a log group.")],
    log_type: Annotated[str, typer.Option("--type", metavar="slow|engine", help="Which of them (default: both).")] = "",
    minutes: Annotated[int, typer.Option(metavar="N", min=1, help="How far back.")] = 60,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    data: DataOption = None,
) -> None:
    """Show what nodes logged, oldest first: slow commands, and what their engines say."""
    from cachefleet.cli.logs import show_logs
    from cachefleet.clock import SystemClock

    show_logs(_settings(data=data), name.lower(), log_type, minutes, SystemClock(), follow=follow)


@app.command()
def insight(
    group: Annotated[
        str, typer.Argument(metavar="[GROUP]", help="A replication group or cluster (default: advice on all).")
    ] = "",
    seconds: Annotated[int, typer.Option(metavar="N", help="How long to look, 1 to 600.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    data: DataOption = None,
) -> None:
    """Show a group's hot and big keys, what fills its memory, and the hit rate that more or less memory would have. Without a
    group: those that are idle or larger than they need be."""
    from cachefleet.cli.insight import show_advice, show_insight
    from cachefleet.clock import SystemClock

    chosen = _settings(data=data)
    if group:
        show_insight(chosen, group, seconds, SystemClock(), as_json=as_json)
    else:
        show_advice(chosen, as_json=as_json)


@app.command()
def cost(
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="2026-11-01 or 2026-11-01T12:00Z (default: this month).")
    ] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Until just before that time (default: now).")] = "",
    days: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=400, help="The last N days, instead of --from and --to.")
    ] = None,
    tag: Annotated[str, typer.Option(metavar="KEY", help="Also by the values of this tag.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    data: DataOption = None,
) -> None:
    """Show how many hours nodes ran, what reserved nodes pay of them, and what is left, by the price list of the settings."""
    from cachefleet.cli.cost import Asked, show_cost
    from cachefleet.clock import SystemClock

    show_cost(_settings(data=data), Asked(begin, end, days, tag), SystemClock(), as_json=as_json)


@engines_app.command("list")
def engines_list(data: DataOption = None) -> None:
    """Show the engine builds that were found here, and what each can do."""
    from cachefleet.cli.engines import show_engines

    show_engines(_settings(data=data))


@engines_app.command("build")
def engines_build(
    engine: Annotated[str, typer.Argument(metavar="ENGINE", help="valkey")],
    version: Annotated[str, typer.Argument(metavar="[VERSION]", help="9.1 or 9.1.2 (default: the newest known).")] = "",
    source: Annotated[
        str, typer.Option(metavar="FILE-OR-URL", help="The source archive (default: from where the project publishes it).")
    ] = "",
    sha256: Annotated[str, typer.Option(metavar="DIGITS", help="What its SHA-256 must be, where that is not known.")] = "",
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Compilers at a time (default: one a core).")] = None,
    data: DataOption = None,
) -> None:
    """Build an engine with TLS and jemalloc from its source into the data folder: about 5 minutes on 2 cores."""
    from cachefleet.cli.engine_build import build_engine, default_jobs

    count = default_jobs() if jobs is None else jobs
    build_engine(_settings(data=data), engine.lower(), version, source=source, sha256=sha256, jobs=count)


@zone_app.command("out")
def zone_out(zone: ZoneArgument, data: DataOption = None) -> None:
    """Declare a zone lost: all its nodes end at once and stay away until it is back. Data that only they hold is lost."""
    from cachefleet.cli.zone import declare_zone

    declare_zone(_settings(data=data), zone, out=True)


@zone_app.command("back")
def zone_back(zone: ZoneArgument, data: DataOption = None) -> None:
    """Have a zone back; its nodes start again."""
    from cachefleet.cli.zone import declare_zone

    declare_zone(_settings(data=data), zone, out=False)


@zone_app.command("list")
def zone_list(data: DataOption = None) -> None:
    """Show which zones are out."""
    from cachefleet.cli.zone import show_zones

    show_zones(_settings(data=data))


@keys_app.command("list")
def keys_list(data: DataOption = None) -> None:
    """Show the keys, never their secrets."""
    from cachefleet.cli.keys import list_keys

    list_keys(_settings(data=data))


@keys_app.command("create")
def keys_create(name: KeyArgument, data: DataOption = None) -> None:
    """Make a key, to be named as KmsKeyId."""
    from cachefleet.cli.keys import create_key

    create_key(_settings(data=data), name)


@keys_app.command("rotate")
def keys_rotate(name: KeyArgument, data: DataOption = None) -> None:
    """Make a new version of a key, for new snapshots; earlier ones stay readable."""
    from cachefleet.cli.keys import rotate_key

    rotate_key(_settings(data=data), name)


@keys_app.command("disable")
def keys_disable(name: KeyArgument, data: DataOption = None) -> None:
    """Let nothing be sealed or opened with a key until it is enabled again."""
    from cachefleet.cli.keys import switch_key

    switch_key(_settings(data=data), name, enable=False)


@keys_app.command("enable")
def keys_enable(name: KeyArgument, data: DataOption = None) -> None:
    """Let a disabled key be used again."""
    from cachefleet.cli.keys import switch_key

    switch_key(_settings(data=data), name, enable=True)


@keys_app.command("show")
def keys_show(
    name: KeyArgument,
    secret: Annotated[bool, typer.Option("--secret", help="Print the secret itself, for `age -d -i -`.")] = False,
    data: DataOption = None,
) -> None:
    """Show one key; with --secret what opens all that it has sealed."""
    from cachefleet.cli.keys import show_key

    show_key(_settings(data=data), name, secret=secret)


@ca_app.callback(invoke_without_command=True)
def ca(context: typer.Context, data: DataOption = None) -> None:
    """Print the certificates by which clients know caches with TLS (PEM)."""
    if context.invoked_subcommand is None:
        from cachefleet.cli.ca import show_authority

        show_authority(_settings(data=data))


@ca_app.command("rotate")
def ca_rotate(data: DataOption = None) -> None:
    """Give every cache with TLS a new certificate. Connections go on."""
    from cachefleet.cli.ca import rotate_certificates

    rotate_certificates(_settings(data=data))


@snapshot_app.command("list")
def snapshot_list(data: DataOption = None) -> None:
    """Show the snapshots and how their last proof ended."""
    from cachefleet.cli.snapshots import list_snapshots

    list_snapshots(_settings(data=data))


@snapshot_app.command("verify")
def snapshot_verify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The snapshot's name.")],
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for it.")] = 1800.0,
    data: DataOption = None,
) -> None:
    """Restore a snapshot into throw-away engines, as a proof that it can be. Exit code 1: it cannot."""
    from cachefleet.cli.snapshots import verify_snapshot
    from cachefleet.clock import SystemClock, SystemEntropy

    verify_snapshot(_settings(data=data), name, timeout, SystemClock(), SystemEntropy())


def run() -> None:
    """The entry point. Whatever goes wrong is one line on standard error and exit code 1."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        print(f"cachefleet: {in_words(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
