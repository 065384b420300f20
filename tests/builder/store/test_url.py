"""Which URLs are accepted, and that no message shows a secret in one."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ParamValidationError, ProfileNotFound
from huggingface_hub.errors import LocalEntryNotFoundError
from s3fs.errors import translate_boto_error

from builder.contract import UsageError
from builder.store import Cache, Remote, is_url
from builder.store.url import failure, is_beyond_end, permanent_failure, without_secrets


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "simplecache::s3://bucket/data",
        "s3://bucket/data::http://host",
        "pipe:cat /etc/passwd",
        "pipe://cat",
        "ftp://host/data",
        "github://org:repo@main/",
        "S3://bucket",
        "s3://",
        "shards",
        "",
    ],
)
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read through .* s3, gs, hf, https, http"):
        Remote(url, Cache(folder=tmp_path, max_bytes=1))


@pytest.mark.parametrize("text", ["s3://b/x", "file:///x", "simplecache::x", "nonsense://x"])
def test_urls_are_told_from_paths(text: str) -> None:
    assert is_url(text)
    assert not is_url(text.replace(":", "/"))


def test_a_password_that_breaks_the_url_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no valid host and port") as caught:
        Remote("https://me:ge/heim@host/data", Cache(folder=tmp_path, max_bytes=1))
    assert "heim" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:geheim@host/data?token=geheim#geheim", "https://host/data"),
        ("s3://AKIA:ge/heim@bucket/data", "s3://bucket/data"),
        ("hf://datasets/some/set@main/data", "hf://datasets/some/set@main/data"),
    ],
)
def test_no_secret_is_shown(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


class Answer(Exception):  # noqa: N818 - stands in for a library's error
    def __init__(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_failure_that_may_pass_is_not_permanent(status: int) -> None:
    assert permanent_failure(Answer(status), "https") == ""


@pytest.mark.parametrize(
    ("error", "scheme", "why"),
    [
        (Answer(400), "https", "the server answers 400; check the URL"),
        (Answer(410), "s3", "it is not there; check the URL"),
        (Answer(404), "hf", "HF_TOKEN"),
        (Answer(401), "gs", "access is refused; log in with gcloud"),
        (PermissionError(), "https", "access is refused; set FSSPEC_HTTPS_HEADERS"),
    ],
)
def test_a_permanent_failure_says_what_to_do(error: Exception, scheme: str, why: str) -> None:
    assert why in permanent_failure(error, scheme)


def s3_error(status: int, code: str) -> Exception:
    """What s3fs raises for an answer of S3."""
    said = {"Code": code, "Message": "https://secret"}
    reply = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = translate_boto_error(ClientError(reply, "GetObject"))
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *[(500, "InternalError"), (503, "SlowDown"), (400, "RequestTimeout"), (503, "503")],
        *[(400, "IncompleteBody"), (400, "BadDigest"), (409, "OperationAborted")],
    ],
)
def test_an_answer_of_s3_that_may_pass_is_not_permanent(status: int, code: str) -> None:
    assert permanent_failure(s3_error(status, code), "s3") == ""


ASK = "; check the URL, the region, the endpoint and the keys"


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (400, "ExpiredToken", "access is refused; set AWS_PROFILE"),
        (400, "InvalidToken", f"the server answers 400 InvalidToken{ASK}"),
        (400, "400", f"the server answers 400{ASK}"),  # to HEAD
        (301, "PermanentRedirect", f"the server answers 301 PermanentRedirect{ASK}"),
        (404, "NoSuchBucket", "it is not there; check the URL"),
        (501, "NotImplemented", "the server answers 501 NotImplemented"),
    ],
)
def test_an_answer_of_s3_that_stays_is_said_at_once(status: int, code: str, why: str) -> None:
    assert why in permanent_failure(s3_error(status, code), "s3")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ProfileNotFound(profile="secret"), "access is refused; set AWS_PROFILE"),
        (ValueError("Invalid endpoint: secret"), f"no such request can be made{ASK}"),
        (ParamValidationError(report="secret"), f"no such request can be made{ASK}"),
    ],
)
def test_what_is_set_wrongly_is_no_matter_of_the_network(error: Exception, why: str) -> None:
    said = permanent_failure(error, "s3")
    assert why in said
    assert "secret" not in said


def test_a_hub_that_cannot_be_reached_does_not_lack_the_file() -> None:
    assert permanent_failure(LocalEntryNotFoundError("no network"), "hf") == ""


def test_a_failure_is_named_without_secrets() -> None:
    wrapped = RuntimeError("https://secret")
    wrapped.__cause__ = ConnectionError("https://secret")
    cases = {
        "503 SlowDown": s3_error(503, "SlowDown"),
        "503": s3_error(503, "https://secret"),
        "ConnectionError": wrapped,
        "too few bytes": EOFError(),
    }
    assert [failure(error) for error in cases.values()] == [*cases]


def test_a_file_that_ends_before_what_is_asked_for_is_told_from_a_failure() -> None:
    assert is_beyond_end(s3_error(416, "InvalidRange"))
    assert not is_beyond_end(s3_error(400, "InvalidRequest"))
