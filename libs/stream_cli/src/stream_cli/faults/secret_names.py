"""Which names of fields, headers and parameters stand for a secret, or for what identifies a person."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

_MOST_CHARACTERS = 200
# The words of a name: api_key, x-api-key, apiKey, APIKey, api.key.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")

# A word that is one of these, or ends with one, as in dbpassword.
_ENDING = """
password passwd passphrase passcode passwort kennwort contrasena contraseña senha motdepasse пароль 密码 密碼 パスワード
pwd secret token jwt bearer cookie authorization credential apikey secretkey privatekey accesskey sessionid sessid
email phone iban
"""
# A name that is one of these, or whose last word is.
_LAST = "pass mail ssn pin cvv cvc otp creds mnemonic sig auth"
_PAIRED = """
api key, private key, secret key, access key, account key, encryption key, signing key, master key, shared key,
session key, license key, function key, functions key, session id, card number, account number, pass phrase, pass word,
seed phrase, identified by, security code, e mail, social security, amz signature, goog signature, mobile number
"""
# Words behind which no secret stands: token_count, passwordChangedAt, secretArn, emailVerified.
_ABOUT_SECRETS = """
age alg algorithm allowed arn at attempt attempts audience bucket bytes changed code consent count created date disabled
domain enabled endpoint error errors exists expiration expired expires expiry failed failures field fields file format
function hint host in index invalid is issuer kind last left length level limit manager max min missing mode name names
needed optional path policy port present prefix provided provider region remaining required reset rotated rotation rule
rules scheme server service set size source status store strength suffix table template time ttl type types updated uri
url usage use used valid validator verification verified version window
"""
_ENDS = tuple(_ENDING.split())
_WHOLE = frozenset(_LAST.split())
_BEGINS = ("password", "passwd")
_PAIRS = frozenset(tuple(pair.split()) for pair in _PAIRED.split(","))
_ABOUT = frozenset(_ABOUT_SECRETS.split())
_PAGES = frozenset(("next", "page", "continuation", "starting", "pagination", "sync", "resume"))
_AMOUNTS = frozenset(("max", "min", "total", "prompt", "completion", "input", "output", "num", "number", "cached"))
_SPOKEN = frozenset(("key", "keys", "number", "id", "word", "by", "phrase", "code", "security"))


def is_secret(name: str) -> bool:
    """Whether a name stands for a secret, such as ``db_password``, ``x-api-key`` or ``accessToken``."""
    return _is_secret(name[-_MOST_CHARACTERS:])


def is_number(name: str) -> bool:
    """Whether a name stands for a number that people write in groups, such as that of a card."""
    words = set(_words(name))
    return bool(words & {"card", "iban", "phone", "ssn", "mobile", "security", "account"})


def is_amount(name: str) -> bool:
    """Whether a name may count: ``tokens`` and ``mail`` are secret as texts, and not as numbers."""
    return _words(name)[-1:] in (["token"], ["tokens"], ["mail"])


def is_line(name: str) -> bool:
    """Whether the value of a name has several words: a header, or a phrase."""
    words = _words(name)
    last = words[-1] if words else ""
    return last in {"authorization", "cookie", "cookies", "cookie2", "passphrase", "phrase", "mnemonic"}


def is_header(name: str) -> bool:
    """Whether a name is that of an HTTP header with a secret."""
    return is_secret(name) and ("-" in name or is_line(name))


def needs_the_word_before(name: str) -> bool:
    """Whether a name says nothing without the word before it, as in ``api key``."""
    return name.lower() in _SPOKEN


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name[-_MOST_CHARACTERS:])]


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    words = [word for word in _words(name) if not word.isdigit()]
    if not words or words[-1] in _ABOUT:
        return False
    if words[-1] == "id" and not {"session", "secret"} & set(words):
        return False
    if words[-1] in ("token", "tokens") and ({*words[:-1]} & _PAGES or {*words[:-1]} & _AMOUNTS):
        return False
    pairs = pairwise(words)
    return words[-1] in _WHOLE or any(map(_sounds_secret, words)) or any(pair in _PAIRS for pair in pairs)


def _sounds_secret(word: str) -> bool:
    singular = word.removesuffix("s")
    return singular.endswith(_ENDS) or (word.startswith(_BEGINS) and not word.startswith("passwordless"))
