"""Which URLs are accepted, which part of one a message may show, and what a failure there means."""

import re
from urllib.parse import urlsplit

from builder.contract import UsageError

PROTOCOLS = ("s3", "gs", "hf", "https", "http")
WEB = ("https", "http")
_LOG_IN = dict.fromkeys(WEB, "set FSSPEC_HTTPS_HEADERS to the headers it needs, as JSON") | {
    "s3": "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or FSSPEC_S3_ANON=true for a public bucket",
    "gs": "log in with gcloud, or set FSSPEC_GS_TOKEN=anon for a public bucket",
    "hf": "run `hf auth login` or set HF_TOKEN",
}


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
    reply = getattr(error, "response", None)  # of huggingface_hub; aiohttp has the status itself
    status = getattr(error, "status", None) or getattr(reply, "status_code", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        private = f" (private? {_LOG_IN[scheme]})" if scheme == "hf" else ""
        return f"it is not there; check the URL or ask its publisher{private}"
    refused = isinstance(error, PermissionError) or status in (401, 403)
    if refused or "Credentials" in type(error).__name__:
        return f"access is refused; {_LOG_IN[scheme]}"
    if isinstance(status, int) and 400 <= status < 500 and status not in (408, 425, 429):
        return f"the server answers {status}; check the URL"
    return ""
