"""What an envelope is, read from docs/reference/room-events.md alone: nothing here is the node's code.

The signature is checked by libsodium.
"""

import json

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ED25519 = b"\xed\x01"
INTEGER_MAX = 2**53 - 1
SIZE_MAX = 60_000


class Refused(Exception):
    """It changes nothing, and why."""


def canonical(value):
    """Matrix's canonical JSON, as bytes."""
    return json.dumps(checked(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def checked(value):
    """The same value; it has no number but small integers."""
    if isinstance(value, dict):
        for one in value.values():
            checked(one)
    elif isinstance(value, list):
        for one in value:
            checked(one)
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) > INTEGER_MAX):
        raise Refused(f"number: {value}")
    return value


def key_of(did):
    """The public key of a did:key."""
    head, text = did[:9], did[9:]
    if head != "did:key:z" or not text:
        raise Refused(f"did: {did}")
    number = 0
    for character in text:
        if character not in ALPHABET:
            raise Refused(f"did: {did}")
        number = number * 58 + ALPHABET.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    key = b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(key) != 34 or key[:2] != ED25519:
        raise Refused(f"did: {did}")
    return key[2:]


def check(content, room, kind, sender):
    """Refuses a content that nobody signed for this room, type and sender."""
    if not all(isinstance(content.get(field), str) for field in ("id", "did", "room", "type", "sender", "sig")):
        raise Refused("shape: a field is missing")
    relation = content.get("m.relates_to", {}).get("rel_type")
    if "m.new_content" in content or relation == "m.replace":
        raise Refused("edit: an envelope never is one")
    said = {key: value for key, value in content.items() if key not in ("sig", "m.relates_to")}
    whole = {**said, "sig": content["sig"]}
    if len(canonical(whole)) > SIZE_MAX:
        raise Refused("size: it is too large")
    try:
        VerifyKey(key_of(content["did"])).verify(canonical(said), bytes.fromhex(content["sig"]))
    except (BadSignatureError, ValueError) as error:
        raise Refused(f"signature: {error}") from error
    for what, is_so in (("room", room), ("type", kind), ("sender", sender)):
        if content[what] != is_so:
            raise Refused(f"{what}: signed for {content[what]}, found at {is_so}")
