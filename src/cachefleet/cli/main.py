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

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder (default: in the XDG state folder).")
]

ZoneArgument = Annotated[str, typer.Argument(metavar="a|b|c", help="The zone's letter.")]


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
) -> None:
    """Stop the services and their caches. Groups stay in the database: the next `up` starts their nodes again, empty."""
    from cachefleet.cli.down import run_down

    run_down(_settings(data=data), keep_caches)


@app.command()
def status(data: DataOption = None) -> None:
    """Show the services and the groups. Exit code 3: none is running."""
    from cachefleet.cli.status import show_status

    raise typer.Exit(show_status(_settings(data=data)))


@engines_app.command("list")
def engines_list() -> None:
    """Show the engine builds that were found here."""
    from cachefleet.cli.engines import show_engines

    show_engines(_settings())


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
