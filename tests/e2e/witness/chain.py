"""The journal of a run out of the pages of several writers: nothing here is the node's code."""

import re

from envelope import Refused
from exported import is_int
from journal import JOURNAL, digest

SNAPSHOT = "cis.dag.run.snapshot"
HASH = re.compile(r"[0-9a-f]{64}")


class Chain:
    """The journal: pages in the order of the room, placed by their numbers and hashes, cut by takeovers."""

    def __init__(self, run, members, wrong):
        self.run, self.members, self.wrong = run, members, wrong
        self.n, self.epoch = 0, 0
        self.heads = {0: digest({"run": run, "type": JOURNAL})}
        self.entries, self.coordinators, self.waiting, self.snapshot, self.refused = [], [], [], None, []

    def take(self, content, entries, at):
        body, did, epoch = content["body"], content["did"], content["epoch"]
        if content["type"] == SNAPSHOT:
            self.restart(body, did, epoch, entries)
        elif not is_int(body["first"], 1) or not HASH.fullmatch(body["prev"]):
            raise Refused("the page has no place")
        elif "head" in body and body["head"] != self.hashes(body["first"], body["prev"], entries, epoch)[-1]:
            raise Refused("its file is another one than was signed")
        else:
            self.waiting.append((body["first"], body["prev"], entries, did, epoch, at))
        while any(self.place(*page) for page in list(self.waiting)):
            pass

    def restart(self, body, did, epoch, entries):
        if self.entries:
            return
        self.begin(entries, did)
        if not is_int(body["n"], 1) or not HASH.fullmatch(body["head"]):
            raise Refused("the snapshot has no place")
        self.n, self.epoch, self.heads = body["n"], epoch, {body["n"]: body["head"]}
        self.entries = [(entry, did) for entry in entries]
        self.snapshot = (len(entries), body["state"])

    def begin(self, entries, did):
        first = entries[0]
        if first["type"] != "cis.dag.run.created" or first["body"]["owner"] != did:
            raise Refused("how the run began is not in its journal")
        self.coordinators = [{"did": did, "epoch": first["body"]["epoch"], "since_ms": first["at_ms"]}]

    def place(self, first, prev, entries, did, epoch, at):
        """Whether this page is the next one, or adds to what is there."""
        page = (first, prev, entries, did, epoch, at)
        if self.heads.get(first - 1) != prev or first + len(entries) - 1 <= self.n:
            return False
        takes_over = entries[0]["type"] == "cis.dag.run.taken_over"
        if takes_over and epoch == self.epoch + 1 and first == self.n + 1 and (first, entries[0]) not in self.refused:
            self.waiting.remove(page)
            why = self.takeover(entries[0]["body"], first, did, epoch, at)
            if why is not None:
                # For good: also if its writer is admitted later, and sends it again.
                self.refused.append((first, entries[0]))
                self.wrong.append(why)
                return True
            self.coordinators.append({"did": did, "epoch": epoch, "since_ms": entries[0]["at_ms"]})
        elif self.coordinators:
            if takes_over or epoch != self.epoch or did != self.coordinators[-1]["did"]:
                return False
            self.waiting.remove(page)
        else:
            self.waiting.remove(page)
            self.begin(entries, did)
        self.epoch = epoch
        for n, (entry, head) in enumerate(zip(entries, self.hashes(first, prev, entries, epoch)), first):
            if n <= self.n and self.heads.get(n) != head:
                break
            if n > self.n:
                self.n, self.heads[n] = n, head
                self.entries.append((entry, did))
        return True

    def hashes(self, first, prev, entries, epoch):
        """The hash of each entry of a page."""
        heads = [prev]
        for n, entry in enumerate(entries, first):
            heads.append(digest({"entry": entry, "epoch": epoch, "n": n, "prev": heads[-1], "run": self.run}))
        return heads[1:]

    def takeover(self, body, first, did, epoch, at):
        if body["owner"] != did:
            return f"entry {first} is forged: {did} takes over for somebody else"
        if (body["epoch"], body["cut"]) != (epoch, first - 1):
            return f"entry {first} is forged: {did} takes over another term than it writes in"
        if not self.members.may_coordinate(did, at):
            return f"{did} took the run over, and may not coordinate runs of this room"
        return None

    def gaps(self):
        ahead = [page[0] for page in self.waiting if page[0] > self.n + 1 and page[4] >= self.epoch]
        if ahead:
            self.wrong.append(f"entries {self.n + 1} to {min(ahead) - 1} of its journal are not in the room")
