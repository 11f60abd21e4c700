from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cachefleet.archive.places import Archive
from cachefleet.archive.streams import ArchiveError

KEYS = {"access_key_id": "a", "secret_access_key": "top-secret"}


@pytest.mark.parametrize(
    "path",
    ["", "/", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "./a", "a/..", "a\0b", "a\nb", "a\\b", "a.part"],
)
def test_paths_that_lead_elsewhere_are_refused(path: str, tmp_path: Path) -> None:
    for archive in (Archive.open(str(tmp_path / "archive")), Archive.open("memory://")):
        for use in _uses(archive, path):
            with pytest.raises(ArchiveError) as caught:
                use()
            assert caught.value.permanent
            assert not caught.value.missing
    assert not (tmp_path / "archive").exists()


def _uses(archive: Archive, path: str) -> list[Callable[[], object]]:
    """The whole archive may be listed, and unfinished objects be removed."""
    uses: list[Callable[[], object]] = [
        lambda: archive.writer(path),
        lambda: archive.reader(path),
        lambda: archive.get(path, 1),
        lambda: archive.put(path, b""),
        lambda: archive.size(path),
        lambda: archive.remove_below(path),
    ]
    if path:
        uses.append(lambda: archive.names(path))
    if not path.endswith(".part"):
        uses.append(lambda: archive.remove(["fine", path]))
    return uses


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no place for snapshots"),
        ("folder/below", "must be an absolute path"),
        ("file://elsewhere/folder", "no place for snapshots"),
        ("ftp://host/folder", "it is one of: a folder, file://, az://, gs://, memory://, s3://"),
        ("http://host/folder", "no place for snapshots"),
        ("s3:///prefix", "names no bucket"),
        ("s3://key:top-secret@bucket/prefix", "only bucket and prefix belong into the URL"),
        ("s3://bucket?secret_access_key=top-secret", "only bucket and prefix belong into the URL"),
    ],
)
def test_urls_that_cannot_be_meant_are_refused(url: str, words: str) -> None:
    with pytest.raises(ArchiveError, match=words) as caught:
        Archive.open(url, KEYS if url.startswith("s3") else {})
    assert caught.value.permanent
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("s3://bucket", {}, "needs the option access_key_id"),
        ("s3://bucket", {"access_key_id": "a"}, "needs the option secret_access_key"),
        ("s3://bucket", {**KEYS, "acces_key": "top-secret"}, "has no option acces_key; it has access_key_id, allow_http"),
        ("s3://bucket", {**KEYS, "allow_http": "yes"}, "allow_http is 'yes'; it is true or false"),
        ("s3://bucket", {**KEYS, "timeout_s": "soon"}, "timeout_s is 'soon'; it is a number"),
        ("s3://bucket", {**KEYS, "timeout_s": "0"}, "timeout_s is '0'; it is a number above 0"),
        ("s3://bucket", {**KEYS, "retries": "-1"}, "retries is '-1'; it is a number"),
        ("s3://bucket", {**KEYS, "root_certificate": "/no/such/file"}, "No such file"),
        ("gs://bucket", {}, "needs the option service_account_file"),
        ("gs://bucket", {"service_account_file": "/no/such/file"}, "cannot be used with these options"),
        ("az://container", {}, "needs the option account_name"),
        ("az://container", {"account_name": "a"}, "needs the option account_key"),
        ("memory://", {"region": "x"}, "has no option region"),
        ("/some/folder", {"region": "x"}, "takes no options, but has region"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(url: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(ArchiveError, match=words) as caught:
        Archive.open(url, options)
    assert caught.value.permanent
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/a/b", {**KEYS, "region": "eu-west-1", "session_token": "t", "timeout_s": "5.5", "retries": "0"}),
        ("s3://bucket", {"instance_role": "true"}),
        ("s3://bucket", {**KEYS, "endpoint": "http://127.0.0.1:1", "allow_http": "true", "virtual_hosted_style": "false"}),
        ("gs://bucket/prefix", {"instance_role": "true"}),
        ("az://container/prefix", {"account_name": "a", "account_key": "bm8gc2VjcmV0"}),
        ("az://container", {"account_name": "a", "sas_token": "sv=2024&sig=eA%3D%3D"}),
    ],
)
def test_what_can_be_meant_is_opened_without_asking_the_store(url: str, options: dict[str, str]) -> None:
    archive = Archive.open(url, options)
    assert repr(archive) == f"Archive({url!r})"


def test_a_folder_may_be_named_in_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "my snapshots"
    Archive.open(str(folder)).put("a/b", b"1")
    for url in (f"file://{tmp_path}/my%20snapshots", "~/my snapshots"):
        assert Archive.open(url).get("a/b", 10) == b"1"
