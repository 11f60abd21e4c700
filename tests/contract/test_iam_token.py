"""The checker of IAM tokens, as a C library, against tokens that botocore makes: what is right, and all that is not."""

from __future__ import annotations

import hashlib
import hmac
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.iam_rules import MAX_BYTES, DayKey, IamRules, day_keys
from tests.fixtures.iam_tokens import Checker, compiled, token

NOW = datetime(2026, 11, 23, 2, 30, 0)
NOW_S = NOW.replace(tzinfo=UTC).timestamp()
KEYS = Credentials("AKIDEXAMPLE0000000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    return Checker(compiled(tmp_path_factory.mktemp("iam"), "token.so", "-O2", "-fPIC", "-shared"))


def rules(*more: DayKey, users: tuple[str, ...] = ("anna", "bert"), keys: tuple[DayKey, ...] | None = None) -> IamRules:
    known = keys if keys is not None else day_keys(KEYS.access_key, KEYS.secret_key, REGION, ("anna",), NOW_S)
    return IamRules("shop", REGION, users, (*known, *more))


TEXT = rules().text()
TOKEN = token("shop", "anna", KEYS, NOW)


def test_what_botocore_makes_is_right(checker: Checker) -> None:
    assert checker.check(TEXT, "anna", TOKEN, NOW_S) == "right"
    assert checker.check(TEXT, "anna", token("shop", "anna", KEYS, NOW, expires_s=60), NOW_S + 60) == "right"


@pytest.mark.parametrize("hour", [0, 1, 12, 23])
@pytest.mark.parametrize("day", ["2024-02-29", "2026-01-01", "2026-12-31", "2100-03-01", "2000-02-29", "1999-12-31"])
def test_on_any_day(checker: Checker, day: str, hour: int) -> None:
    now = datetime.fromisoformat(f"{day}T{hour:02}:59:59")
    now_s = now.replace(tzinfo=UTC).timestamp()
    text = rules(keys=day_keys(KEYS.access_key, KEYS.secret_key, REGION, ("*",), now_s)).text()
    assert checker.check(text, "anna", token("shop", "anna", KEYS, now), now_s) == "right"
    assert checker.check(text, "anna", token("shop", "anna", KEYS, now), now_s + 900) == "right"
    too_late = checker.check(text, "anna", token("shop", "anna", KEYS, now), now_s + 901)
    assert too_late == ("unknown key" if hour == 23 else "expired"), "the key of a day ends with the last token of that day"


@pytest.mark.parametrize(
    ("said", "user", "shown"),
    [
        ("token of another user", "bert", TOKEN),
        ("no IAM user", "carl", TOKEN),
        ("no IAM user", "default", TOKEN),
        ("no IAM user", "", TOKEN),
        ("no IAM user", "Anna", TOKEN),
        ("not permitted", "bert", token("shop", "bert", KEYS, NOW)),
        ("token of another cache", "anna", token("shop2", "anna", KEYS, NOW)),
        ("token of another cache", "anna", token("sho", "anna", KEYS, NOW)),
        ("token of another cache", "anna", token("SHOP", "anna", KEYS, NOW)),
        ("malformed token", "anna", "https:/" + TOKEN[TOKEN.index("/") :]),
        ("malformed token", "anna", "https://" + TOKEN),
        ("token of another scope", "anna", token("shop", "anna", KEYS, NOW, region="eu-west-2")),
        ("token of another scope", "anna", token("shop", "anna", KEYS, NOW, service="rds-db")),
        ("unknown key", "anna", token("shop", "anna", Credentials("AKIDOTHER", KEYS.secret_key), NOW)),
        ("wrong signature", "anna", token("shop", "anna", Credentials(KEYS.access_key, "another"), NOW)),
        ("unknown key", "anna", token("shop", "anna", Credentials(KEYS.access_key, KEYS.secret_key, "session"), NOW)),
        ("malformed token", "anna", token("shop", "anna", KEYS, NOW, expires_s=901)),
        ("malformed token", "anna", token("shop", "anna", KEYS, NOW, expires_s=604800)),
        ("malformed token", "anna", token("shop", "anna", KEYS, NOW, expires_s=0)),
        ("malformed token", "anna", token("shop", "anna", KEYS, NOW, action="disconnect")),
        ("malformed token", "anna", token("shop", "anna", KEYS, NOW, more=[("ResourceType", "ServerlessCache")])),
        ("expired", "anna", token("shop", "anna", KEYS, NOW - timedelta(minutes=15, seconds=1))),
        ("not valid yet", "anna", token("shop", "anna", KEYS, NOW + timedelta(minutes=5, seconds=1))),
        ("unknown key", "anna", token("shop", "anna", KEYS, NOW - timedelta(days=2))),
        ("unknown key", "anna", token("shop", "anna", KEYS, NOW + timedelta(days=2))),
        ("malformed token", "anna", ""),
        ("malformed token", "anna", "shop"),
        ("malformed token", "anna", "shop/"),
        ("malformed token", "anna", "shop/?"),
        ("malformed token", "anna", "hunter2"),
    ],
)
def test_what_is_not_right(checker: Checker, said: str, user: str, shown: str) -> None:
    assert checker.check(TEXT, user, shown, NOW_S) == said


def test_a_clock_that_is_five_minutes_ahead_is_borne_with(checker: Checker) -> None:
    ahead = token("shop", "anna", KEYS, NOW + timedelta(minutes=5))
    assert checker.check(TEXT, "anna", ahead, NOW_S) == "right"


def test_every_byte_altered_in_every_way_is_refused(checker: Checker) -> None:
    shown = TOKEN.encode()
    altered = [shown[:i] + bytes([byte]) + shown[i + 1 :] for i in range(len(shown)) for byte in range(256) if byte != shown[i]]
    assert len(altered) > 70_000
    assert "right" not in checker.check_all(TEXT, "anna", altered, NOW_S)


def test_every_byte_left_out_doubled_or_put_in_is_refused(checker: Checker) -> None:
    shown = TOKEN.encode()
    altered = [shown[:i] + shown[i + 1 :] for i in range(len(shown))]
    altered += [shown[:i] + shown[i : i + 1] + shown[i:] for i in range(len(shown))]
    altered += [shown[:i] + byte.encode() + shown[i:] for i in range(len(shown) + 1) for byte in string.printable + "\0"]
    altered += [shown[:i] for i in range(len(shown))]
    assert "right" not in checker.check_all(TEXT, "anna", altered, NOW_S)


def test_parameters_left_out_doubled_or_changed_are_refused(checker: Checker) -> None:
    cache, _, query = TOKEN.partition("?")
    parts = query.split("&")
    for i, part in enumerate(parts):
        name = part.partition("=")[0]
        for changed in ([], [part, part], [f"{name}="], [name], [part, f"{name}=x"], [part, "X-Amz-Other=1"], [part.lower()]):
            shown = cache + "?" + "&".join([*parts[:i], *changed, *parts[i + 1 :]])
            assert checker.check(TEXT, "anna", shown, NOW_S) != "right", shown
    assert checker.check(TEXT, "anna", cache + "?" + "&".join(reversed(parts)), NOW_S) == "right", "their order is not signed"


def test_temporary_credentials(checker: Checker) -> None:
    session = "FwoGZXIvYXdzE//////////wEaDJ+ab/cd==" * 20
    temporary = Credentials("ASIATEMPORARY", "another secret", session)
    keys = day_keys(temporary.access_key, temporary.secret_key, REGION, ("anna",), NOW_S, session_token=session)
    text = rules(*keys).text()
    assert checker.check(text, "anna", token("shop", "anna", temporary, NOW), NOW_S) == "right"
    without = Credentials(temporary.access_key, temporary.secret_key)
    assert checker.check(text, "anna", token("shop", "anna", without, NOW), NOW_S) == "unknown key"
    other = Credentials(temporary.access_key, temporary.secret_key, session[:-1] + "A")
    assert checker.check(text, "anna", token("shop", "anna", other, NOW), NOW_S) == "unknown key"


def test_keys_end_by_themselves(checker: Checker) -> None:
    ending = day_keys(KEYS.access_key, KEYS.secret_key, REGION, ("anna",), NOW_S, until_s=NOW_S + 10)
    text = rules(keys=ending).text()
    assert checker.check(text, "anna", TOKEN, NOW_S + 9) == "right"
    assert checker.check(text, "anna", TOKEN, NOW_S + 10) == "unknown key"
    assert checker.check(rules(keys=()).text(), "anna", TOKEN, NOW_S) == "unknown key"


def test_over_midnight_yesterday_s_and_tomorrow_s_tokens_are_known(checker: Checker) -> None:
    midnight = datetime(2026, 11, 24)
    midnight_s = midnight.replace(tzinfo=UTC).timestamp()
    for pushed_s in (midnight_s - 60, midnight_s + 60):
        text = rules(keys=day_keys(KEYS.access_key, KEYS.secret_key, REGION, ("anna",), pushed_s)).text()
        for made, now_s in ((midnight - timedelta(seconds=30), midnight_s + 800), (midnight, midnight_s + 1)):
            assert checker.check(text, "anna", token("shop", "anna", KEYS, made), now_s) == "right"
    assert len(day_keys(KEYS.access_key, KEYS.secret_key, REGION, ("anna",), NOW_S)) == 2


def test_a_key_is_of_its_day_alone(checker: Checker) -> None:
    today, tomorrow = day_keys(KEYS.access_key, KEYS.secret_key, REGION, ("anna",), NOW_S)
    text = rules(keys=(tomorrow,)).text()
    assert checker.check(text, "anna", TOKEN, NOW_S) == "unknown key"
    swapped = msgspec.structs.replace(tomorrow, day=today.day)
    assert checker.check(rules(keys=(swapped,)).text(), "anna", TOKEN, NOW_S) == "wrong signature"


def test_several_keys_and_users(checker: Checker) -> None:
    others = [Credentials(f"AKIA{i:016}", f"secret {i}") for i in range(200)]
    keys = [key for one in others for key in day_keys(one.access_key, one.secret_key, REGION, ("anna", "bert"), NOW_S)]
    text = rules(*keys).text()
    for one in (others[0], others[100], others[199]):
        assert checker.check(text, "bert", token("shop", "bert", one, NOW), NOW_S) == "right"


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense", b"key", b"key a b c d e f", b"user", b"user a b", b"user \x00", b"user %41", b"cache two", b"region two",
        b"skew -1", b"skew 901", b"skew 1e2", b"lifetime 0", b"lifetime 43201", b"lifetime", b"key  20261123 - - - anna",
        b"key A 20261123 " + b"g" * 64 + b" 1 - anna", b"key A 2026112 " + b"0" * 64 + b" 1 - anna",
        b"key A 20261123 " + b"0" * 63 + b" 1 - anna", b"key A 20261123 " + b"0" * 64 + b" x - anna",
        b"key A 20261123 " + b"0" * 64 + b" 1 - ", b"key A 20261123 " + b"0" * 64 + b" 1 zz anna",
        b"key A 20261123 " + b"0" * 64 + b" 99999999999999999999 - anna", b"key A 20261123 " + b"0" * 64 + b" 1 - a b",
        b"key " + b"A" * 129 + b" 20261123 " + b"0" * 64 + b" 1 - anna", b"\xff\xfe",
    ],
)  # fmt: skip
def test_rules_that_cannot_be_read(checker: Checker, line: bytes) -> None:
    assert checker.why_not(TEXT) == ""
    why = checker.why_not(TEXT + line + b"\n")
    assert why and "0000" not in why


def test_rules_need_a_cache_and_a_region(checker: Checker) -> None:
    assert "no cache" in checker.why_not(b"")
    assert "no cache" in checker.why_not(b"cache shop\n")
    assert checker.why_not(b"cache shop\nregion r\n\n") == ""
    assert "too many" in checker.why_not(b"user a\n" * (MAX_BYTES // 7 + 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda: IamRules("a b", REGION, (), ()),
        lambda: IamRules("shop", "r\nuser x", (), ()),
        lambda: IamRules("shop", REGION, ("a\n",), ()),
        lambda: rules(DayKey("A B", "20261123", b"0" * 32, 1, ("anna",))),
        lambda: rules(DayKey("AB", "20261123", b"0" * 32, 1, ("anna,bert",))),
    ],
)
def test_names_cannot_bring_rules_of_their_own(change: Callable[[], IamRules]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        change().text()


def test_the_same_rules_in_another_order_have_the_same_fingerprint() -> None:
    one, other = rules(), rules()
    other = msgspec.structs.replace(other, users=other.users[::-1], keys=other.keys[::-1])
    assert one.fingerprint() == other.fingerprint() == hashlib.sha256(one.text()).hexdigest()
    assert KEYS.secret_key.encode() not in one.text()


@given(key=st.binary(max_size=200), data=st.binary(max_size=300))
@settings(max_examples=300)
def test_hmac_is_that_of_everyone(checker: Checker, key: bytes, data: bytes) -> None:
    assert checker.hmac(key, data) == hmac.new(key, data, hashlib.sha256).digest()


@given(shown=st.one_of(st.binary(max_size=300), st.text(alphabet="shop/?&=%ActionUserX-Amz0123456789ABCDEFT", max_size=300)))
@settings(max_examples=500)
def test_nothing_at_all_is_right(checker: Checker, shown: bytes | str) -> None:
    assert checker.check(TEXT, "anna", shown, NOW_S) != "right"
