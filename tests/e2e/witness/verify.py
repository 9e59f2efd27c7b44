"""Checks a file of `cis dag export` by its documentation alone: nothing here is the node's code.

    verify.py FILE [FILE …] --owner DID [--owner DID] [--threshold N]

Prints what `cis dag verify --json` prints, a line for each file, and ends with the same codes: 0 if nothing is wrong, 1 if something is, 2
if a file is no export. See docs/decisions/0048-exports.md and docs/reference/room-events.md.
"""

import argparse
import hashlib
import json
import sys
import tomllib

import envelope
from chain import SNAPSHOT, Chain
from envelope import Refused
from exported import DAMAGE, NoExport, entries_of, lines_of, signed
from fold import Fold, is_item
from journal import JOURNAL
from members import TRUST, Members
from shapes import check_body

ROTATED, PAGES = "cis.dag.node.rotated", (JOURNAL, SNAPSHOT)
ENDED = ("succeeded", "completed", "failed", "error", "cancelled")
OVER = ("succeeded", "failed", "error", "cancelled")
# What a task may become by `task.status`, and a run by an event of its own.
BECOMES = {
    "pending": ("queued", "completed", "failed", "cancelled"),
    "queued": ("pending", "completed", "failed", "error", "cancelled"),
    "running": ("queued", "processing", *ENDED),
    "processing": ("queued", *ENDED),
}
RUN_AFTER = {
    "started": ("created",),
    "paused": ("running",),
    "resumed": ("paused",),
    "cancelling": ("created", "running"),
    "completed": ("running", "paused"),
    "failed": ("running", "paused"),
    "error": ("running", "paused"),
    "cancelled": ("running", "paused"),
    "retried": OVER,
}
OF_A_SESSION = ("session.started", "session.blocked", "session.recovered", "task.handed_in")
KNOWN = {
    *(f"run.{name}" for name in (*RUN_AFTER, "created", "mode", "taken_over")),
    *(f"task.{name}" for name in ("status", "assigned", "result", "added", "expanded", "approved")),
    *(f"session.{name}" for name in ("escalated", "asked", "ask_withdrawn", "said", "answered", "answer_void")),
    *OF_A_SESSION,
}


class Run:
    """Folds the entries, and checks that each state follows from the one before."""

    def __init__(self, run, wrong):
        self.fold, self.wrong, self.tasks = Fold(run), wrong, {}
        self.fences, self.sessions, self.answers, self.nodes = {}, {}, [], set()
        self.gates, self.lists, self.ending = set(), set(), False
        self.dag, self.specification, self.state = "", "missing", None

    def begin(self, body):
        self.dag, text = body["dag"], body.get("text")
        if text is None:
            raise Refused("the text of the run's file is not in its journal")
        self.specification = "matches" if hashlib.sha256(text.encode()).hexdigest() == body["spec"] else "hidden"
        tasks = tomllib.loads(text)["tasks"]
        if len(tasks) != body["tasks"] or len({task["id"] for task in tasks}) != len(tasks):
            raise Refused(f"the run was created with {body['tasks']} tasks, its file has {len(tasks)}")
        self.lists = {task["id"] for task in tasks if "foreach" in task}

    def take(self, entry, did):
        kind, body = entry["type"].removeprefix("cis.dag."), entry["body"]
        if kind not in KNOWN or entry["v"] > 1:
            raise ValueError(f"`{entry['type']}` version {entry['v']} is unknown")
        check_body(kind, body)
        if kind == "run.created":
            self.begin(body)
        else:
            self.follows(kind, body)
        self.fold.take(entry)
        self.state = self.fold.state
        if kind == "task.assigned":
            self.granted(body, body["node"], did)
        elif kind == "task.result":
            if "granted_ms" in body:
                self.granted(body, body.get("node") or did, did)
            self.sessions.pop(body["task"], None)
            self.tasks[body["task"]]["log"] = body["log"]["sha256"] if body.get("log") else None
        elif kind in ("session.answered", "task.approved"):
            comment = f": {body['comment']}" if body.get("comment") else ""
            text = body["text"] if kind == "session.answered" else f"approved{comment}"
            self.answers.append({"task": body["task"], "by": body["by"], "at_ms": entry["at_ms"], "text": text})

    def granted(self, body, node, did):
        self.sessions[body["task"]] = (body["session"], body["attempt"], body["fence"])
        self.fences[body["task"]] = body["fence"]
        self.nodes.add((node, did))
        self.tasks[body["task"]] = {"attempts": body["attempt"], "node": node, "by": did}

    def follows(self, kind, body):
        states, run, task = self.fold.tasks, self.fold.state, body.get("task")
        self.run_follows(kind, run, states)
        changes = body.get("changes", [])
        if len({change["task"] for change in changes}) != len(changes):
            raise Refused("a task changes twice in one list")
        for change in changes:
            self.changes(change["task"], change["state"], kind, states)
            self.gates.discard(change["task"])
            if change.get("queued", {}).get("kind") == "approval":
                self.gates.add(change["task"])
        if kind == "task.assigned" or kind == "task.result" and "granted_ms" in body:
            before = ("pending", "running", "processing") if "queued_ms" in body else ("queued",)
            if states[task] not in before or body["fence"] <= self.fences.get(task, 0):
                raise Refused(f"task `{task}` is {states[task]}: its attempt cannot begin")
        elif kind == "task.result" and self.sessions.get(task) != (body["session"], body["attempt"], body["fence"]):
            raise Refused(f"task `{task}`: this attempt is not under way")
        elif kind in OF_A_SESSION and task and self.sessions.get(task, (None,))[0] != body["session"]:
            raise Refused(f"task `{task}`: its session is not at work on it")
        elif kind == "task.approved" and task not in self.gates:
            raise Refused(f"task `{task}` waits for no approval")
        elif kind == "task.expanded":
            items = {states[one] for one in states if is_item(one, task)}
            if states[task] != "pending" or not body["items"] or task not in self.lists or items - {"pending"}:
                raise Refused(f"task `{task}` cannot have {len(body['items'])} items")
        if kind == "task.result" and body["state"] not in ("queued", *ENDED):
            raise Refused(f"task `{task}` cannot become {body['state']}")
        if kind in ("task.assigned", "task.result", "task.approved"):
            self.gates.discard(task)

    def run_follows(self, kind, run, states):
        name = kind.removeprefix("run.")
        if name in RUN_AFTER and run not in RUN_AFTER[name] or name == "paused" and self.ending:
            raise Refused(f"the run is {run}: `{kind}` cannot follow")
        if name in ("completed", "failed", "error", "cancelled") and any(one not in ENDED for one in states.values()):
            raise Refused(f"the run has tasks at work: `{kind}` cannot follow")
        if kind.startswith("task.") and (run in OVER or kind == "task.assigned" and run != "running"):
            raise Refused(f"the run is {run}: `{kind}` cannot follow")
        self.ending = name == "cancelling" or self.ending and name != "retried"

    def changes(self, task, state, kind, states):
        allowed = BECOMES.get(states[task], ())
        if kind == "run.retried":
            allowed = ("pending", "queued") if states[task] in ENDED else ()
        items = [states[one] for one in states if is_item(one, task)]
        if items and states[task] == "queued" and all(one in ENDED for one in items):
            allowed = (*allowed, *ENDED)
        if state not in allowed:
            raise Refused(f"task `{task}` is {states[task]} and cannot become {state}")


def verdict(header, events, intact, owners, threshold):
    wrong, pages, envelopes, strangers = [], [], 0, {}
    if not intact:
        damaged = "the file is damaged: its lines are not those that were written"
        wrong.append("the end of the file is missing" if intact is None else damaged)
    room, run_id = header["room"], header["run"].upper()
    members = Members(owners, threshold, room)
    for at, event in enumerate(events):
        try:
            content = signed(event, room)
            if content["type"] == TRUST:
                envelopes += members.take(content, at)
                continue
            envelopes += 1
            if content["type"] == ROTATED:
                members.rotate(content, at)
            elif content.get("run", run_id).upper() != run_id or content["type"] in PAGES and "run" not in content:
                raise Refused("it is about another run")
            elif content["type"] in PAGES and content["v"] == 1:
                pages.append((at, event, content))
        except DAMAGE as error:
            wrong.append(f"event {event['id']}: {error}")
    chain = Chain(run_id, members, wrong)
    for at, event, content in pages:
        if not members.is_known(content["did"], at):
            strangers[content["did"]] = strangers.get(content["did"], 0) + 1
        elif not members.is_revoked(content["did"], at):
            try:
                chain.take(content, entries_of(event, content["body"]), at)
            except DAMAGE as error:
                wrong.append(f"event {event['id']}: {error}")
    for did, n in strangers.items():
        wrong.append(f"{n} envelopes are signed by {did}, which the owners of the room did not admit")
    chain.gaps()
    if not chain.entries:
        wrong.append("nothing of the run's journal counts")
    run = folded(chain, Run(run_id, wrong), wrong)
    for node in sorted(node for node, did in run.nodes if node != did and not members.may_execute(node)):
        wrong.append(f"tasks ran on {node}, which the owners did not let execute")
    none = {"attempts": 0, "node": None, "by": None}
    tasks = [{"task": task, "state": state, **run.tasks.get(task, none)} for task, state in run.fold.tasks.items()]
    for task in tasks:
        if task.get("log") is None:
            task.pop("log", None)
    return {
        "run": run_id,
        "room": room,
        "dag": run.dag,
        "state": run.state,
        "specification": run.specification,
        "envelopes": envelopes,
        "entries": len(chain.entries) if chain.snapshot is None else chain.n,
        "coordinators": chain.coordinators,
        "tasks": tasks,
        "answers": run.answers,
        "statements": members.n,
        "members": members.listed(),
        "wrong": wrong,
    }


def folded(chain, run, wrong):
    for n, (entry, did) in enumerate(chain.entries, 1):
        try:
            run.take(entry, did)
            if chain.snapshot and chain.snapshot[0] == n and run.fold.hash() != chain.snapshot[1]:
                wrong.append("its snapshot says another state than its events come to")
        except Refused as error:
            wrong.append(f"entry {n} does not follow: {error}")
            break
        except DAMAGE as error:
            wrong.append(f"entry {n} is not of its shape: {error!r}")
    return run


def checked(path, owners, threshold):
    """The code that says how the file is, and the verdict."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        said = verdict(*lines_of(data), owners, threshold)
    except (NoExport, Refused, OSError) as error:
        return 2, {"wrong": [str(error)]}
    return (1 if said["wrong"] else 0), said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--owner", action="append", required=True)
    parser.add_argument("--threshold", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    owners = set(given.owner)
    try:
        for owner in owners:
            envelope.key_of(owner)
        if not 1 <= given.threshold <= len(owners):
            raise NoExport(f"{given.threshold} of {len(owners)} owners cannot sign a statement")
    except (NoExport, Refused) as error:
        print(json.dumps({"wrong": [str(error)]}))
        return 2
    worst = 0
    for path in given.files:
        code, said = checked(path, owners, given.threshold)
        print(json.dumps(said))
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
