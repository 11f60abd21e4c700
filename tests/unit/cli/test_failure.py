"""Errors as one line."""

from __future__ import annotations

from botocore.exceptions import ClientError, EndpointConnectionError

from cachefleet.cli.failure import Failure, in_words
from cachefleet.settings import SettingsError


def test_our_own_errors_are_their_message() -> None:
    assert in_words(Failure("no engine\n  was found")) == "no engine was found"
    assert in_words(SettingsError("CACHEFLEET_X is not a setting")) == "CACHEFLEET_X is not a setting"


def test_a_refusal_has_its_code_and_message() -> None:
    answer = {"Error": {"Code": "InvalidParameterValue", "Message": "Port: 0 is too small."}}
    error = ClientError(answer, "CreateCacheCluster")
    assert in_words(error) == "CreateCacheCluster was refused: InvalidParameterValue: Port: 0 is too small."


def test_a_service_that_is_not_reached_is_named() -> None:
    assert "http://127.0.0.1:1" in in_words(EndpointConnectionError(endpoint_url="http://127.0.0.1:1"))


def test_files_are_named() -> None:
    assert in_words(FileNotFoundError(2, "No such file or directory", "/etc/x")) == "/etc/x: No such file or directory"


def test_a_bug_says_where_it_is_in_one_line() -> None:
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError as error:
        line = in_words(error)
    assert line.startswith("internal error: RuntimeError: two lines at ")
    assert "test_failure.py:" in line
