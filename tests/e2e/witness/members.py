"""The nodes of a room by what its owners said, read from docs/decisions/0048-exports.md alone: nothing here is the node's code."""

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

import envelope
from envelope import Refused, canonical, key_of
from journal import digest

TRUST = "cis.dag.trust"
RIGHTS = ("submit", "coordinate", "execute")


def check_change(body):
    """Refuses a change of a key that not both keys signed."""
    said = {"type": "cis.identity.rotation", "old": body["old"], "new": body["new"], "at_ms": str(body["at_ms"])}
    for did, signature in ((body["old"], body["sig_old"]), (body["new"], body["sig_new"])):
        try:
            VerifyKey(key_of(did)).verify(canonical(said), bytes.fromhex(signature))
        except (BadSignatureError, ValueError, TypeError) as error:
            raise Refused(f"{did} did not sign the change of its key") from error


def kind_of(statement):
    """Its kind. None: a statement that this reader does not know, which changes nothing."""
    if not isinstance(statement, dict) or statement.get("kind") not in ("admit", "revoke", "group"):
        return None
    kind, name = statement["kind"], statement.get("name")
    if not isinstance(name, str) and (kind == "group" or kind == "admit" and name is not None):
        return None
    if kind != "group" and not isinstance(statement.get("did"), str):
        return None
    may = statement.get("may") if kind == "admit" else []
    return kind if isinstance(may, list) and all(one in RIGHTS for one in may) else None


class Members:
    """What the owners of the room said, and the keys that count by it."""

    def __init__(self, owners, threshold, room):
        self.owners, self.threshold, self.room = owners, threshold, room
        self.n, self.head = 0, digest({"room": room, "type": TRUST})
        self.members, self.revoked, self.signers, self.earlier, self.said, self.groups = {}, {}, {}, {}, [], set()

    def take(self, content, at):
        """Takes a statement. False: of somebody else; refuses one that does not follow."""
        did, body = content["did"], content["body"]
        if did not in self.owners or self.is_revoked(did, at):
            return False
        n, prev, statement = body["n"], body["prev"], body["statement"]
        if (n, prev) != (self.n + 1, self.head):
            raise Refused(f"statement {n} does not follow statement {self.n}")
        placed = digest({"placed": body, "room": self.room})
        signers = self.signers.setdefault(placed, set())
        self.follows(statement)
        signers.add(did)
        if len(signers) >= self.threshold:
            self.n, self.head, self.signers = n, placed, {}
            self.apply(statement, at)
        return True

    def follows(self, statement):
        kind = kind_of(statement)
        if kind == "admit":
            envelope.key_of(statement["did"])
            if statement["did"] in self.revoked:
                raise Refused(f"{statement['did']} needs another key")
        elif kind == "revoke" and statement["did"] not in self.members:
            raise Refused(f"{statement['did']} is not a member of the room")
        elif kind == "group" and statement.get("group") is None and statement["name"] not in self.groups:
            raise Refused(f"the room has no group `{statement['name']}`")
        if kind == "revoke" and statement["did"] in self.owners and len(self.owners) <= self.threshold:
            raise Refused(f"{statement['did']} owns the room, which would have too few owners without it")

    def apply(self, statement, at):
        kind = kind_of(statement)
        if kind == "admit":
            did, name, may = statement["did"], statement.get("name"), statement["may"]
            self.members[did] = {"name": name, "may": [right for right in RIGHTS if right in may]}
            self.said.append((at, did, may))
        elif kind == "revoke":
            self.revoked.setdefault(statement["did"], at)
        elif kind == "group":
            change = self.groups.discard if statement.get("group") is None else self.groups.add
            change(statement["name"])

    def rotate(self, content, at):
        """Takes a change of a key, which both keys sign."""
        body = content["body"]
        if body["new"] != content["did"]:
            raise Refused("a key was changed by somebody else")
        check_change(body)
        self.earlier.setdefault(body["new"], (body["old"], at))

    def keys(self, did, at):
        """This key and those before it in this place, newest first: up to one that is a member itself."""
        keys = [did]
        while keys[-1] not in self.members and keys[-1] in self.earlier and len(keys) < 1000:
            old, place = self.earlier[keys[-1]]
            if place >= at:
                break
            keys.append(old)
        return keys

    def is_known(self, did, at):
        return (first := self.keys(did, at)[-1]) in self.owners or first in self.members

    def is_revoked(self, did, at):
        return any(self.revoked.get(key, at) < at for key in self.keys(did, at))

    def may_execute(self, did):
        first = self.keys(did, float("inf"))[-1]
        return any(did == first and "execute" in may for _, did, may in self.said)

    def may_coordinate(self, did, at):
        """By what was said before this place; in a room without statements the named owners may."""
        first = self.keys(did, at)[-1]
        rights = [may for place, who, may in self.said if place < at and who == first]
        return "coordinate" in rights[-1] if rights else self.n == 0 and first in self.owners

    def listed(self):
        return [{"did": did, **self.members[did], "revoked": did in self.revoked} for did in sorted(self.members)]
