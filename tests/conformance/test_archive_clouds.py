"""Azure and Google as places for snapshots: what they refuse is said in words, and credentials come from the options only."""

from __future__ import annotations

import base64
from contextlib import closing

import pytest

from cachefleet.archive.places import Archive
from cachefleet.archive.streams import ArchiveError
from tests.fixtures.cloud_stores import CloudPlace, shared_access_signature

OF_OTHERS = {
    "azure": {
        "AZURE_SKIP_SIGNATURE": "true",
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_STORAGE_TOKEN": "of-others",
        "AZURE_STORAGE_SAS_KEY": "sv=of-others",
        "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"of others").decode(),
        "AZURE_STORAGE_ACCOUNT_NAME": "others",
        "AZURE_STORAGE_CLIENT_ID": "of-others",
        "AZURE_CONTAINER_NAME": "others",
        "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:1",
    },
    "google": {
        "GOOGLE_SKIP_SIGNATURE": "true",
        "GOOGLE_SERVICE_ACCOUNT": "/of/others",
        "GOOGLE_APPLICATION_CREDENTIALS": "/of/others",
        "GOOGLE_BUCKET": "others",
        "GOOGLE_BASE_URL": "http://127.0.0.1:1",
    },
}
ONE_BY_ONE = [(cloud, name) for cloud, names in OF_OTHERS.items() for name in names]


def opened(place: CloudPlace, **changes: str) -> Archive:
    return Archive.open(place.url, {**place.options, "retries": "0", "timeout_s": "5", **changes})


def place_of(request: pytest.FixtureRequest, cloud: str) -> CloudPlace:
    place: CloudPlace = request.getfixturevalue(cloud)
    return place


@pytest.mark.parametrize("cloud", ["azure", "google"])
def test_a_bucket_that_is_not_there_is_no_missing_object(request: pytest.FixtureRequest, cloud: str) -> None:
    place = place_of(request, cloud)
    archive = opened(CloudPlace(f"{place.url[:5]}nosuchbucket/prefix", place.options))
    uses = (
        lambda: archive.put("a", b"x"),
        lambda: archive.get("a", 1),
        lambda: list(archive.names()),
        lambda: archive.writer("a").close(),
    )
    for use in uses:
        with pytest.raises(ArchiveError, match="there is no such bucket") as caught:
            use()
        assert (caught.value.permanent, caught.value.missing) == (True, False)


def test_a_wrong_key_of_azure_is_said(azure: CloudPlace) -> None:
    wrong = base64.b64encode(bytes(64)).decode()
    archive = opened(azure, account_key=wrong)
    uses = (
        lambda: archive.put("a", b"x"),
        lambda: archive.get("a", 1),
        lambda: list(archive.names()),
        lambda: archive.remove(["a"]),
    )
    for use in uses:
        with pytest.raises(ArchiveError, match="access denied") as caught:
            use()
        assert caught.value.permanent and wrong not in str(caught.value)


@pytest.mark.parametrize("key", ["no base64!", "AAA"])
def test_what_can_be_no_key_of_azure_is_refused_at_once(azure: CloudPlace, key: str) -> None:
    with pytest.raises(ArchiveError, match="account_key is not in base64") as caught:
        opened(azure, account_key=key)
    assert caught.value.permanent and key not in str(caught.value)


@pytest.mark.parametrize(("cloud", "name"), ONE_BY_ONE, ids=[name for _, name in ONE_BY_ONE])
def test_nothing_is_taken_from_the_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, cloud: str, name: str
) -> None:
    """Of the shell that started Cachefleet: it may be anybody's."""
    place = place_of(request, cloud)
    monkeypatch.setenv(name, OF_OTHERS[cloud][name])
    archive = opened(place)
    archive.put("a", b"x")
    assert archive.get("a", 1) == b"x"


def test_a_variable_that_nothing_overrules_is_named(google: CloudPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", "{}")
    with pytest.raises(ArchiveError, match="while the variable GOOGLE_SERVICE_ACCOUNT_KEY is set: unset it") as caught:
        opened(google)
    assert caught.value.permanent


@pytest.mark.parametrize("mark", ["", "?"])  # Azure's own tools show it with a question mark
def test_a_shared_access_signature_opens_azure(azure: CloudPlace, mark: str) -> None:
    """Azurite takes removals, which are batches, with an account's key only."""
    options = {name: value for name, value in azure.options.items() if name != "account_key"}
    archive = Archive.open(azure.url, {**options, "sas_token": mark + shared_access_signature()})
    content = bytes(9_000_000)
    with closing(archive.writer("a/1")) as writer:
        writer.write(content)
    assert archive.get("a/1", len(content)) == content
    assert list(archive.names()) == [("a/1", len(content))]
