"""Which URLs are accepted, and that no message shows a secret in one."""

from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.store import Cache, Remote, is_url
from builder.store.url import permanent_failure, without_secrets


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
