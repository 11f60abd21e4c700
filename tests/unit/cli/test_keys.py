"""`cachefleet keys`: through the command line's own entry, on a data folder without a service."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pyrage
import pytest
from typer.testing import CliRunner, Result

from cachefleet.app.installation import Installation
from cachefleet.app.transfers import KEYS_FOLDER
from cachefleet.archive.keyring import Keyring
from cachefleet.cli.failure import in_words
from cachefleet.cli.main import app

SECRET = re.compile("AGE-SECRET-KEY", re.IGNORECASE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    Installation(tmp_path).prepare()
    return tmp_path


def run(data: Path, *words: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words, "--data", str(data)], env=environment)


def refusal(result: Result) -> str:
    assert result.exit_code == 1 and result.exception is not None
    return in_words(result.exception)


def test_the_life_of_a_key(data: Path) -> None:
    assert "No keys yet" in run(data, "list").output
    made = run(data, "create", "payroll")
    assert made.exit_code == 0
    assert "Key payroll is made; its public key is age1" in made.output
    assert str(data / KEYS_FOLDER) in made.output
    assert "Key payroll has version 2 now" in run(data, "rotate", "alias/payroll").output
    listed = run(data, "list").output
    assert [line.split() for line in listed.splitlines()] == [
        ["NAME", "STATE", "VERSIONS", "FROM"],
        ["payroll", "enabled", "1,", "2", "file"],
    ]
    disabled = run(data, "disable", "payroll").output
    assert "no snapshot is made or restored with it" in disabled
    assert f"keys enable payroll --data {data}" in disabled
    assert "disabled" in run(data, "list").output
    assert run(data, "enable", "payroll").output == "Key payroll is enabled.\n"
    for output in (made.output, listed, disabled, run(data, "show", "payroll").output):
        assert not SECRET.search(output)
    (folder,) = (data / KEYS_FOLDER).iterdir()
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_the_secret_opens_what_every_version_has_sealed_and_is_printed_only_when_asked_for(data: Path) -> None:
    ring = Keyring(data / KEYS_FOLDER)
    sealed = []
    for recipient in (ring.create("payroll").recipient, ring.rotate("payroll").recipient):
        sealed.append(pyrage.encrypt(b"data", [pyrage.x25519.Recipient.from_str(recipient)]))
    shown = run(data, "show", "payroll")
    assert shown.output.splitlines()[0] == "Key payroll: enabled, versions 1, 2, from a file"
    assert not SECRET.search(shown.output)
    lines = run(data, "show", "payroll", "--secret").output.splitlines()
    identities = [pyrage.x25519.Identity.from_str(line) for line in lines if not line.startswith("#")]
    assert [pyrage.decrypt(one, [identity]) for one, identity in zip(sealed, identities, strict=True)] == [b"data"] * 2


def test_keys_of_commands_are_shown_and_changed_where_they_are(data: Path, tmp_path: Path) -> None:
    identities = [str(pyrage.x25519.Identity.generate()) for _ in range(2)]
    file = tmp_path / "identities"
    file.write_text("\n".join(identities) + "\n")
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[archive.key_commands]\nvault = ["cat", "{file}"]\n')
    where = {"CACHEFLEET_CONFIG": str(settings)}
    assert ["vault", "enabled", "-", "command"] in [line.split() for line in run(data, "list", **where).output.splitlines()]
    lines = run(data, "show", "vault", "--secret", **where).output.splitlines()
    assert [line for line in lines if not line.startswith("#")] == identities
    assert "make its versions there" in refusal(run(data, "rotate", "vault", **where))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "default"), "key default is there already"),
        (("rotate", "nothing"), "there is no key nothing"),
        (("disable", "nothing"), "there is no key nothing"),
        (("show", "nothing", "--secret"), "there is no key nothing; make it with:"),
        (("create", "a b"), "names no key"),
    ],
)
def test_refusals(data: Path, words: tuple[str, ...], said: str) -> None:
    run(data, "create", "default")
    assert said in refusal(run(data, *words))


def test_a_disabled_key_tells_no_secret(data: Path) -> None:
    run(data, "create", "payroll")
    run(data, "disable", "payroll")
    result = run(data, "show", "payroll", "--secret")
    assert "key payroll is disabled" in refusal(result)
    assert not SECRET.search(result.output)


@pytest.mark.parametrize("words", [("list",), ("create", "x"), ("show", "x", "--secret")])
def test_without_an_installation_it_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = refusal(run(tmp_path / "nothing", *words))
    assert "no Cachefleet has been started with the data folder" in said
    assert not (tmp_path / "nothing").exists()
