"""Check that a password is acceptable, hash it and verify it with argon2id in a thread pool."""

from __future__ import annotations

import asyncio
import unicodedata
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from os import getpid

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from host.errors import ValidationFailed

SHORTEST, LONGEST = 8, 1024
"""Length in characters; NIST SP 800-63B asks for a minimum of 8 and for at least 64 to be allowed."""

HASHER = PasswordHasher()
"""argon2id with the second recommended option of RFC 9106: 64 MiB, 3 passes, 4 lanes."""


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads that hash in this process, at most 4 times 64 MiB at once; threads do not survive a fork."""
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="argon2")


_TRIED_FIRST = """
00000000 0123456789 11111111 1111111111 111222333 112233445566 11223344 12121212 123123123 12341234 1234512345
12345678 123456789 1234567890 12345678910 123456789a 12345679 123654789 1234qwer 123qwe123 147258369 159357456
1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qazxsw2 22222222 55555555 66666666 789456123 87654321 88888888 987654321 99999999
987654321 a123456789 aa123456 aa12345678 aaaaaaaa abc12345 abc123456 abcd1234 abcdefgh admin123 admin1234 adminadmin
alexander asdf1234 asdfasdf asdfghjk asdfghjkl baseball basketball butterfly changeme charlie1 chelsea1 chocolate
computer corvette danielle dragon123 elephant facebook football football1 fuckyou1 godzilla hello123 iloveyou
iloveyou1 internet jennifer jessica1 jonathan letmein1 letmein123 liverpool liverpool1 lovelove master123 mercedes
michael1 michelle midnight minecraft monkey123 mustang1 nicholas nothing1 pa55word pass1234 passw0rd password
password! password1 password12 password123 password1234 password2 patricia pokemon1 princess princess1 q1w2e3r4
q1w2e3r4t5 qazwsxedc qqww1122 qwer1234 qwerasdf qwerqwer qwerty12 qwerty123 qwerty1234 qwertyui qwertyuiop samantha
samsung1 scorpion secret123 snowball spiderman sunshine sunshine1 superman superman1 starwars test1234 testtest
tinkerbell trustno1 victoria welcome1 welcome123 whatever william1 zaq12wsx zaq1zaq1 zxcvbnm1 zxcvbnm123
"""
_COMMON_PASSWORDS = frozenset(_TRIED_FIRST.split())


def _nobody() -> str:
    """A well-formed hash that no password matches, so that unknown accounts take as long to check as known ones."""
    salt, digest = (b64encode(bytes(size)).rstrip(b"=").decode() for size in (HASHER.salt_len, HASHER.hash_len))
    cost = f"m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


NOBODY = _nobody()


def check(password: str, *, email: str, field: str = "password") -> None:
    """Refuse a password that is too short, too long, the person's own address or one of the commonest.

    Raises:
        ValidationFailed: the password is refused; `field` is the key in the error's details.
    """
    plain = _normal(password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise ValidationFailed(details={field: f"a password has {SHORTEST} to {LONGEST} characters"})
    folded = plain.casefold()
    if folded in (email.casefold(), email.casefold().split("@")[0]):
        raise ValidationFailed(details={field: "a password must not be the e-mail address"})
    if folded in _COMMON_PASSWORDS or len(set(plain)) == 1:
        raise ValidationFailed(details={field: "this is one of the passwords that are tried first; choose another"})


async def hashed(password: str) -> str:
    """The hash to store; the work is done in a thread."""
    return await asyncio.get_running_loop().run_in_executor(_threads(getpid()), HASHER.hash, _normal(password))


async def matches(password: str, known: str | None) -> bool:
    """Whether `password` has the hash `known`; None (no account, no password) takes as long and is False."""
    stored = known or NOBODY
    is_match = await asyncio.get_running_loop().run_in_executor(_threads(getpid()), _verify, _normal(password), stored)
    return is_match and known is not None


def is_outdated(known: str) -> bool:
    """Whether a hash was made with other cost settings than the current ones and should be replaced."""
    return HASHER.check_needs_rehash(known)


def _verify(password: str, stored: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False


def _normal(password: str) -> str:
    """Normalise to NFKC, so that every keyboard gives the same bytes (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
