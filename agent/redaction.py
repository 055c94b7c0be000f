"""Hides secrets in text before it is written down or sent.

Best effort by nature: exact values that are known, in the encodings that tools print, and shapes of keys
that are known. What keeps secrets safe is that the sandbox has no network and is given none.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

HIDDEN = "[redacted]"
#: Shorter values would hide ordinary words.
MIN_LENGTH = 8

_SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
            r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{16,}",
            r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{30,}\b",
            r"\bgithub_pat_[A-Za-z0-9_]{40,}\b",
            r"\bglpat-[A-Za-z0-9_-]{20,}",
            r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
            r"\bAIza[A-Za-z0-9_-]{35}",
            r"\bsk_live_[A-Za-z0-9]{20,}",
            r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        )
    ),
    re.DOTALL,
)
# The password of a URL with credentials: scheme://user:password@host.
_URL_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):([^\s/@]+)@")


class Redactor:
    """Hides the given values, their usual encodings, and whatever has the shape of a key.

    `values` are secrets of the user (environment, .env files, settings); those shorter than MIN_LENGTH
    characters are left alone.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if len(value) >= MIN_LENGTH for form in _encodings(value)}
        # The longest first, so that a value is not cut by a shorter one that it contains.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._exact = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """The text with each secret replaced by HIDDEN."""
        if self._exact is not None:
            text = self._exact.sub(HIDDEN, text)
        text = _SHAPES.sub(HIDDEN, text)
        return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text)


def _encodings(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, value[::-1], quote(value, safe=""), json.dumps(value)[1:-1]}
    forms |= {binascii.hexlify(raw).decode(), binascii.hexlify(raw).decode().upper()}
    for shift in range(3):
        # Base64 of a longer text shows the value in one of three alignments; the letters at both ends
        # also depend on the neighbours and are left out.
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        inner = encoded[(0, 2, 3)[shift] : len(encoded) - (1 if (shift + len(raw)) % 3 else 0)]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= MIN_LENGTH}
