"""A room over plain HTTP, without a Matrix library."""

import json
import urllib.parse
import urllib.request


def get(given, path, **query):
    url = f"{given['url']}/_matrix/client/v3{path}?{urllib.parse.urlencode(query)}"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {given['token']}"})
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


def of_types(given, types):
    """All events of these types in the room, oldest first."""
    room, events, start = urllib.parse.quote(given["room"], safe=""), [], {}
    wanted = json.dumps({"types": types})
    while True:
        page = get(given, f"/rooms/{room}/messages", dir="f", limit=50, filter=wanted, **start)
        events += page["chunk"]
        if "end" not in page:
            return events
        start = {"from": page["end"]}
