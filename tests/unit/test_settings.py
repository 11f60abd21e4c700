"""Settings from a file, variables and options; whatever is wrong is refused with its name, never with a stack trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachefleet.settings import EngineSettings, HostSettings, NodeTypeSetting, Settings, SettingsError, load


def _file(folder: Path, content: bytes) -> dict[str, str]:
    file = folder / "settings.toml"
    file.write_bytes(content)
    return {"CACHEFLEET_CONFIG": str(file)}


def test_nothing_has_to_be_set() -> None:
    assert load({}) == Settings()
    assert load({"PATH": "/bin", "OTHER": "1"}) == Settings()


def test_variables_win_over_the_file_and_options_over_variables(tmp_path: Path) -> None:
    environment = _file(tmp_path, b'listen = "a:1"\nregion = "file-1"\naccount = "111111111111"\n[host]\nnetwork = 7\n')
    environment |= {"CACHEFLEET_REGION": "variable-1", "CACHEFLEET_LISTEN": "b:2", "CACHEFLEET_HOST_SPREAD": "never"}
    found = load(environment, {"listen": "c:3", "data": None})
    assert (found.listen, found.region, found.account, found.data) == ("c:3", "variable-1", "111111111111", "")
    assert found.host == HostSettings(network=7, spread="never")


def test_values_come_as_their_types(tmp_path: Path) -> None:
    own_type = b'[node_types."cache.own"]\nmaxmemory_bytes = 2000000\n'
    found = load(
        {
            **_file(tmp_path, own_type),
            "CACHEFLEET_DEMO": "false",
            "CACHEFLEET_CONTROL_PROBE_TIMEOUT_S": "0.25",
            "CACHEFLEET_API_MEMCACHED_NODES": "3",
            "CACHEFLEET_ENGINES_BINARIES": "/a/valkey-server:/b/memcached",
        }
    )
    assert (found.demo, found.control.probe_timeout_s, found.api.memcached_nodes) == (False, 0.25, 3)
    assert found.engines == EngineSettings(binaries=("/a/valkey-server", "/b/memcached"))
    assert found.node_types == {"cache.own": NodeTypeSetting(2_000_000)}


def test_where_logs_go(tmp_path: Path) -> None:
    places = (
        "file:///var/log/caches",
        "otlp+http://127.0.0.1:4318",
        "otlp+https://collector.example/v1/logs?a=b",
        "loki+http://me:a%20word@loki:3100/",
        "loki+http://[::1]:3100",
    )
    for place in places:
        assert load(_file(tmp_path, f'[logs.streams]\nout = "{place}"\n'.encode())).logs.streams == {"out": place}
    for name, place in (
        ("out", "/var/log"),
        ("out", "file://host"),
        ("out", "file:///"),
        ("out", "http://collector"),
        ("out", "otlp+http:///v1"),
        ("out", "loki+http://host:port"),
        ("../out", "file:///var/log"),
    ):
        with pytest.raises(SettingsError, match=r"logs\.streams"):
            load(_file(tmp_path, f'[logs.streams]\n"{name}" = "{place}"\n'.encode()))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("NONSENSE", "1", "CACHEFLEET_NONSENSE is not a setting"),
        ("HOST_NONSENSE", "1", "CACHEFLEET_HOST_NONSENSE is not a setting"),
        ("HOST_NETWORK", "x", "host.network"),
        ("HOST", "x", "host"),
        ("HOST_NETWORK", "255", "host.network is 255; it is 1 to 254, or 0 for any that is free"),
        ("HOST_NETWORK", "-1", "host.network is -1"),
        ("HOST_MEMORY", "huge", "host.memory is 'huge'; it is overcommit or reserve"),
        ("HOST_SPREAD", "yes", "host.spread is 'yes'; it is auto or never"),
        ("CONTROL_PROBE_INTERVAL_S", "0", "control.probe_interval_s is 0.0; it must be more than 0"),
        ("CONTROL_PROBE_TIMEOUT_S", "nan", "control.probe_timeout_s is nan; it must be more than 0"),
        ("CONTROL_CREATE_ATTEMPTS", "0", "control.create_attempts is 0"),
        ("UPDATES_AUTOMATIC", "always", "updates.automatic is 'always'; it is minor, patch or never"),
        ("UPDATES_AUTOMATIC_AFTER_DAYS", "-2", "updates.automatic_after_days is -2.0"),
        ("UPDATES_MINOR_SEVERITY", "high", "the severity of minor is 'high'; it is critical, important, medium, low"),
        ("API_MAX_BODY_BYTES", "-5", "api.max_body_bytes is -5"),
        ("API_CLOCK_SKEW_S", "soon", "api.clock_skew_s"),
        ("ACCOUNT", "12", "account is '12'; it has 12 digits"),
        ("REGION", "My Region", "region is 'My Region'; it has 1 to 32 lower-case letters, digits and hyphens"),
    ],
)
def test_wrong_variables_are_refused_by_name(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({f"CACHEFLEET_{name}": value})
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"host = 3", "host"),
        (b"nonsense = 3", "nonsense"),
        (b"[host]\nnonsense = 3", "nonsense"),
        (b"= 3", "settings.toml"),
        (b'region = "\xff"', "settings.toml"),
        (b'[node_types."cache.own"]\nmaxmemory_bytes = 0', "node_types.maxmemory_bytes is 0"),
        (b'[node_types."cache.own"]\nmaxmemory_bytes = 1000000\nvcpu = 0', "node_types.vcpu is 0"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    for variables in ({}, {"CACHEFLEET_HOST_SPREAD": "never"}):
        with pytest.raises(SettingsError) as refusal:
            load({**_file(tmp_path, content), **variables})
        assert words in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load({"CACHEFLEET_CONFIG": str(tmp_path / "absent.toml")})


def test_the_data_folder_is_in_the_state_folder_unless_it_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Settings().data_dir == tmp_path / "cachefleet"
    assert Settings(data=str(tmp_path / "own")).data_dir == tmp_path / "own"
