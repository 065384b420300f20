"""Which URLs are accepted, which part of one a message may show, and what a failure there means."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from builder.contract import UsageError

PROTOCOLS = ("s3", "gs", "hf", "https", "http")
WEB = ("https", "http")
_LOG_IN = dict.fromkeys(WEB, "set FSSPEC_HTTPS_HEADERS to the headers it needs, as JSON") | {
    "s3": "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or FSSPEC_S3_ANON=true for a public bucket",
    "gs": "log in with gcloud, or set FSSPEC_GS_TOKEN=anon for a public bucket",
    "hf": "run `hf auth login` or set HF_TOKEN",
}
_ASKED_WITH = {"s3": "the URL, the region, the endpoint and the keys"}
_NO_KEYS = ("Credential", "ProfileNotFound", "SSOToken", "TokenRetrieval")  # of botocore
_NO_NETWORK = ("LocalEntryNotFoundError",)  # of huggingface_hub; it is a FileNotFoundError
_LATER = (408, 409, 425, 429)
_LATER_CODES = (  # of S3, with statuses that otherwise do not pass
    *("BadDigest", "IncompleteBody", "InvalidDigest", "RequestTimeout"),
    *("OperationAborted", "ConditionalRequestConflict", "XAmzContentSHA256Mismatch"),
)


def is_url(text: str) -> bool:
    """Whether `text` is a URL and not a path; `Remote` refuses the schemes it does not know."""
    return "://" in text or "::" in text


def without_secrets(url: str) -> str:
    """The URL as a message may show it: no user, password, key or query."""
    scheme, mark, rest = re.split(r"[?#]", url)[0].partition("://")
    if scheme in ("s3", "gs"):  # a secret key may contain a slash
        return f"{scheme}{mark}{rest.rpartition('@')[2]}"
    host, slash, path = rest.partition("/")  # the path of hf may name a revision after an @
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def parse_scheme(url: str) -> str:
    """The scheme of a root URL; UsageError unless it is one of PROTOCOLS and names a host."""
    scheme, _, rest = url.partition("://")
    if scheme not in PROTOCOLS or "::" in url or not rest:
        raise UsageError(
            f"Shards cannot be read through {url.partition(':')[0]!r}: "
            f"give a folder or a URL of {', '.join(PROTOCOLS)}, such as s3://bucket/folder."
        )
    if scheme in WEB:
        try:
            valid = urlsplit(url).hostname and urlsplit(url).port != 0
        except ValueError:  # the port is not a number: perhaps a password contains a slash
            valid = False
        if not valid:
            raise UsageError(
                f"The {scheme} URL names no valid host and port: "
                "write a sign such as / or @ in a password as %2F or %40."
            )
    return scheme


def permanent_failure(error: Exception, scheme: str) -> str:
    """Why asking again cannot help, and what can; "" for a failure that may pass."""
    return next(filter(None, (_permanent(each, scheme) for each in _causes(error))), "")


def failure(error: Exception) -> str:
    """What a message may say of a failure: an error's text may hold the whole URL."""
    if isinstance(error, EOFError):
        return "too few bytes"
    for each in _causes(error):
        status, code = _answer(each)
        if status:
            return f"{status} {code}".rstrip()
    return type(_causes(error)[-1]).__name__


def is_missing(error: Exception) -> bool:
    """Whether the server says that there is no such file."""
    return any(_is_missing(each) for each in _causes(error))


def is_beyond_end(error: Exception) -> bool:
    """Whether the server says that the file ends before the bytes that were asked for."""
    return any(_answer(each)[0] == 416 for each in _causes(error))


def _permanent(error: Exception, scheme: str) -> str:
    status, code = _answer(error)
    name = type(error).__name__
    if isinstance(error, TimeoutError) or code in _LATER_CODES:
        return ""
    if _is_missing(error):
        private = f" (private? {_LOG_IN[scheme]})" if scheme == "hf" else ""
        return f"it is not there; check the URL or ask its publisher{private}"
    refused = isinstance(error, PermissionError) or status in (401, 403)
    if refused or any(word in name for word in _NO_KEYS):
        return f"access is refused; {_LOG_IN[scheme]}"
    if status in (301, 501) or (status and 400 <= status < 500 and status not in _LATER):
        return f"the server answers {failure(error)}; check {_ASKED_WITH.get(scheme, 'the URL')}"
    if type(error) is ValueError or name == "ParamValidationError":
        return f"no such request can be made; check {_ASKED_WITH.get(scheme, 'the URL')}"
    return ""


def _is_missing(error: Exception) -> bool:
    unknown = type(error).__name__ in _NO_NETWORK
    return _answer(error)[0] in (404, 410) or (isinstance(error, FileNotFoundError) and not unknown)


def _causes(error: Exception) -> list[Exception]:
    """The error, and the one that a library made it of."""
    return [each for each in (error, error.__cause__) if isinstance(each, Exception)]


def _answer(error: Exception) -> tuple[int | None, str]:
    """The status of the server's answer, and S3's word for it, where it says one."""
    reply: Any = getattr(error, "response", None)  # aiohttp has the status itself
    if isinstance(reply, Mapping):  # of botocore
        status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = str(reply.get("Error", {}).get("Code", ""))
    else:
        status, code = getattr(error, "status", None) or getattr(reply, "status_code", None), ""
    word = code if re.fullmatch(r"[A-Za-z]{1,60}", code) else ""
    return (status if isinstance(status, int) else None), word
