"""A run's journal: entries chained by hash, and the numbers of what a node sends."""

import hashlib

from envelope import canonical

JOURNAL = "cis.dag.run.journal"


class Journal:
    """Takes the envelopes of one run in the order of the room; notes what is wrong, and the entries."""

    def __init__(self, run):
        self.run = run
        self.n = 0
        self.head = digest({"run": run, "type": JOURNAL})
        self.entries = []
        self.heads = []
        self.faults = []

    def take(self, content):
        body, epoch = content["body"], content["epoch"]
        if "entries" not in body:
            self.faults.append("a part of the journal is a file, and this reader fetches none")
            return
        if (body["first"], body["prev"]) != (self.n + 1, self.head):
            self.faults.append(f"journal: {body['first']} does not follow {self.n}")
        for entry in body["entries"]:
            self.n += 1
            link = {"entry": entry, "epoch": epoch, "n": self.n, "prev": self.head, "run": self.run}
            self.head = digest(link)
            self.entries.append(entry["type"])
            self.heads.append(self.head)


def gaps(seqs):
    """What is wrong with the numbers of a sender, in the order of the room."""
    faults, last = [], {}
    for seq in seqs:
        expected = last.get(seq["incarnation"], 0) + 1
        if seq["n"] != expected:
            faults.append(f"seq: {seq} where {expected} is expected")
        last[seq["incarnation"]] = seq["n"]
    return faults


def digest(value):
    return hashlib.sha256(canonical(value)).hexdigest()
