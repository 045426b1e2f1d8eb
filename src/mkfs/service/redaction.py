"""The second net for secrets: what looks like one goes from a text before it is logged. Pure.

The first net is that no error and no message of ours holds a secret (CONTRIBUTING.md). This one is for what nobody thought of: a
library that shows a header, a server that repeats what it was sent, a traceback with a URL in it. It takes too much rather than too
little; what it took is shown as `***`. It cannot know a secret by its looks alone: a bare password in a sentence stays.

Rules of this file: every expression is linear in the text (no nested repetition), as texts may come from strangers.
"""

import re
from functools import cache
from typing import Final

MARK: Final = "***"
# Without one of these, in small letters, none of the expressions can match: most lines are short of all, and none is compiled then.
_SIGNS: Final = ("://", "auth", "bearer", "basic", "pass", "secret", "token", "key", "sig", "cookie", "?", "&")
# What a query may show: of the registry protocol, and what grants nothing. The values of all other keys go.
_SHOWN_KEYS: Final = "ns|n|last|digest|from|mount|artifacttype|service|scope"
# Names of what nobody should see, also at the end of longer ones (`MKFS_PASSWORD`, `x-amz-signature`), and those that are too short
# for that.
_ENDINGS: Final = (
    "password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|signature|cookie"
)
_NAMES: Final = rf"(?:(?:{_ENDINGS})|\b(?:auth|sig))"


def redacted(text: str) -> str:
    """`text` without what looks like a secret."""
    small = text.lower()
    if not any(sign in small for sign in _SIGNS):
        return text
    for expression, instead in _expressions():
        text = expression.sub(instead, text)
    return text


@cache
def _expressions() -> tuple[tuple[re.Pattern[str], str], ...]:
    flags = re.IGNORECASE | re.ASCII
    scheme = r"\b[a-z][a-z0-9+.-]{0,20}://"
    told = r"\\?[\"']?\s{0,4}[=:]\s{0,4}"  # after a name: =, or : as in JSON, in a header, in a `repr`
    return (
        # A key in PEM, its lines as they are or escaped.
        (re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(?!\*)[^-]*(?:-----END [A-Z ]{0,40}-----)?", flags), rf"\1{MARK}"),
        # `Authorization: Bearer x`, `'Authorization': 'Basic x'`: whatever follows on the line, up to a quote.
        (
            re.compile(r"(authorization\\?[\"']?\s{0,4}[:=,]\s{0,4}b?\\?[\"']?(?:[a-z0-9-]{1,20} )?)[^\"'\r\n]+", flags),
            rf"\1{MARK}",
        ),
        # `Bearer x` by itself. A word of small letters alone is one of a sentence: "basic authentication".
        (
            re.compile(r"\b((?:[Bb]earer|BEARER|[Bb]asic|BASIC)\s{1,4})(?!realm=)(?=[a-z._~+/-]*[A-Z0-9=])[A-Za-z0-9._~+/=-]{4,}"),
            rf"\1{MARK}",
        ),
        # `https://user:password@host`; then also a password with what belongs escaped, but not a port and a path with an @.
        (re.compile(rf"({scheme})[^\s/?#\"'<>]*@", flags), rf"\1{MARK}@"),
        (re.compile(rf"({scheme})[^\s/:?#\"'<>]{{1,100}}:(?!\d{{1,5}}[/?#])[^\s\"'<>]{{1,200}}@", flags), rf"\1{MARK}@"),
        # `?key=value`, `&key=value`.
        (re.compile(rf"([?&](?!(?:{_SHOWN_KEYS})=)[a-z0-9._~%-]{{1,100}}=)[^\s&\"'<>#]+", flags), rf"\1{MARK}"),
        # `"token": "x"`, `password='x'`.
        (re.compile(rf"({_NAMES}{told}b?\\?([\"']))(?:(?!\2)[^\r\n])+", flags), rf"\1{MARK}"),
        # `password=x`, `Token: x`.
        (re.compile(rf"({_NAMES}{told})(?![\"'*]|b[\"'])[^\s\"',;&)}}\]]+", flags), rf"\1{MARK}"),
    )
