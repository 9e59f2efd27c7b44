"""Finds what a bot waits for in a plain room over plain HTTP: by the types of events alone.

WITNESS in the environment: url, token, room, types. Tells the events of each type on stdout as one JSON document, each checked as
an envelope. Ends with 1 where one is refused.
"""

import json
import os
import sys

import envelope
from client import of_types

given = json.loads(os.environ["WITNESS"])
found, refused = {}, []
for kind in given["types"]:
    found[kind] = []
    for event in of_types(given, [kind]):
        try:
            envelope.check(event["content"], given["room"], event["type"], event["sender"])
            found[kind].append({"run": event["content"]["run"], **event["content"]["body"]})
        except envelope.Refused as why:
            refused.append({"event": event["event_id"], "why": str(why)})
print(json.dumps({"found": found, "refused": refused}))
sys.exit(1 if refused else 0)
