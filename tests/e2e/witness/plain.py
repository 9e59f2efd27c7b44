"""Reads a plain room with matrix-nio as somebody in it, and tells what a node said there: one JSON document on stdout.

WITNESS in the environment: url, user, device, token, room, types (of events that are looked for). Ends with 1 where something is wrong (`faults`, `refused`).
"""

import asyncio
import copy
import json
import os
import sys

from nio import AsyncClient, MessageDirection, RoomMessagesError

import envelope
from journal import JOURNAL, Journal, gaps

ENDS = ("succeeded", "failed", "error", "cancelled")


async def read(given):
    """Everything in the room, oldest first, as this client understands it; and what it finds of each type that it looks for."""
    client = AsyncClient(given["url"])
    client.restore_login(given["user"], given["device"], given["token"])
    try:
        await client.sync(timeout=0, full_state=True)
        if given["room"] not in client.rooms or client.rooms[given["room"]].encrypted:
            sys.exit("the room is not joined, or not plain")
        events = await page_through(client, given["room"], None)
        found = {kind: await page_through(client, given["room"], {"types": [kind]}) for kind in given["types"]}
        return events, found
    finally:
        await client.close()


async def page_through(client, room, wanted):
    events, start = [], None
    while True:
        page = await client.room_messages(
            room, start=start, direction=MessageDirection.front, limit=50, message_filter=wanted
        )
        if isinstance(page, RoomMessagesError):
            sys.exit(f"the room cannot be read: {page}")
        events += [event.source for event in page.chunk]
        if page.end is None:
            return events
        start = page.end


def related(events, how, to):
    of = lambda event: event["content"].get("m.relates_to", {})
    return [event for event in events if (of(event).get("rel_type"), of(event).get("event_id")) == (how, to)]


def told(events, beside):
    """Messages that carry this beside their words, with what they say by now."""
    found = []
    for event in events:
        relation = event["content"].get("m.relates_to", {}).get("rel_type")
        if event["type"] != "m.room.message" or beside not in event["content"] or relation == "m.replace":
            continue
        edits = related(events, "m.replace", event["event_id"])
        now = edits[-1]["content"]["m.new_content"] if edits else event["content"]
        found.append({"event": event, "now": now, "edits": len(edits)})
    return found


def is_refused_after_a_change(content, place):
    """Whether one byte more, less or other is noticed, wherever it is."""
    for field in ("id", "room", "run", "type", "sender", "did", "sig"):
        forged = copy.deepcopy(content)
        text = forged[field]
        forged[field] = text[:-1] + ("0" if text[-1] != "0" else "1")
        if not refuses(forged, place):
            return False
    forged = copy.deepcopy(content)
    forged["body"]["more"] = 1
    return refuses(forged, place)


def refuses(content, place):
    try:
        envelope.check(content, *place)
    except envelope.Refused:
        return True
    return False


def announced(found, journal, faults):
    """The bodies of announcements by type. Each names the entry of the journal that says the same."""
    bodies = {}
    for kind, events in found.items():
        bodies[kind] = [event["content"]["body"] for event in events]
        for body in bodies[kind]:
            n = body["entry"]["n"]
            if journal.entries[n - 1 : n] != [kind] or journal.heads[n - 1] != body["entry"]["hash"]:
                faults.append(f"announcement: {kind} names entry {n}, which says something else")
    return bodies


def witness(events, found, room):
    faults, refused, seqs, dids, journal = [], [], [], set(), None
    cards = told(events, "cis.dag.card")
    if len(cards) != 1:
        sys.exit(f"there are {len(cards)} cards")
    card = cards[0]
    beside = card["now"]["cis.dag.card"]
    if card["event"]["content"]["msgtype"] != "m.notice" or not card["edits"] or beside["state"] not in ENDS:
        faults.append(f"card: {card}")
    journal = Journal(beside["run"])
    for event in events:
        content, kind = event["content"], event["type"]
        if not kind.startswith("cis.dag.") or "state_key" in event:
            continue
        place = (room, kind, event["sender"])
        try:
            envelope.check(content, *place)
        except envelope.Refused as why:
            refused.append({"event": event["event_id"], "why": str(why)})
            continue
        if not is_refused_after_a_change(content, place):
            faults.append(f"an altered copy is taken: {content}")
        if "seq" in content:
            seqs.append(content["seq"])
        dids.add(content["did"])
        if kind == JOURNAL and content["run"] == journal.run:
            journal.take(content)
    if not journal.entries:
        faults.append("there is no journal")
    thread = related(events, "m.thread", card["event"]["event_id"])
    return {
        "run": journal.run,
        "state": beside["state"],
        "card": card["now"]["body"],
        "thread": [event["content"]["body"] for event in thread],
        "rings": [
            summary["event"]["content"]["body"]
            for summary in told(events, "cis.dag.summary")
            if summary["event"]["content"]["m.mentions"].get("user_ids")
        ],
        "announced": announced(found, journal, faults),
        "questions": [question["now"]["body"] for question in told(events, "cis.dag.question")],
        "envelopes": len(seqs),
        "dids": sorted(dids),
        "entries": journal.entries,
        "refused": refused,
        "faults": faults + journal.faults + gaps(seqs),
    }


given = json.loads(os.environ["WITNESS"])
said = witness(*asyncio.run(read(given)), given["room"])
print(json.dumps(said))
sys.exit(1 if said["faults"] or said["refused"] else 0)
