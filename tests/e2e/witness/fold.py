"""Folds a run to its canonical state, by docs/reference/room-events.md alone: nothing here is the node's code.

WITNESS in the environment: url, token, room, run. Reads the run's snapshots and journal in a plain room, and tells on stdout the canonical
state as text, the hashes that the snapshots state, and those of the folds at their places.
"""

import hashlib
import json
import os
import tomllib

import envelope
from client import of_types

ENDS = {
    "cis.dag.run.started": "running",
    "cis.dag.run.paused": "paused",
    "cis.dag.run.resumed": "running",
    "cis.dag.run.completed": "succeeded",
    "cis.dag.run.failed": "failed",
    "cis.dag.run.error": "error",
    "cis.dag.run.cancelled": "cancelled",
    "cis.dag.run.retried": "running",
}
OUTCOMES = {"spawn_error": "error", "lost": "error"}


class Fold:
    def __init__(self, run):
        self.run, self.spec, self.owner, self.state = run, None, None, "created"
        self.tasks, self.attempts, self.blocked, self.answers, self.workers = {}, {}, {}, [], {}

    def take(self, entry):
        kind, at_ms, body = entry["type"], entry["at_ms"], entry["body"]
        self.state = ENDS.get(kind, self.state)
        if kind == "cis.dag.run.created":
            self.spec, self.owner = body["spec"], body["owner"]
            self.tasks = {task["id"]: "pending" for task in tomllib.loads(body["text"])["tasks"]}
        for change in body.get("changes", []):
            self.tasks[change["task"]] = change["state"]
            end = change.get("end") or {}
            if end.get("kind") == "rejected":
                self.decided(change["task"], end["by"], "reject", end["reason"] or None, at_ms)
        if kind == "cis.dag.task.assigned":
            self.tasks[body["task"]], self.workers[body["task"]] = "running", body["node"]
        elif kind == "cis.dag.task.result":
            self.ended(body, at_ms)
        elif kind == "cis.dag.task.added":
            self.tasks.update({task["id"]: "pending" for task in body["tasks"]})
        elif kind == "cis.dag.task.expanded":
            self.expanded(body["task"], len(body["items"]))
        elif kind == "cis.dag.session.blocked" and body["task"]:
            key = (body["task"], body["session"], body["episode"])
            self.blocked[key] = {"item": body["item"], "kind": body["kind"], "since_ms": at_ms, "until_ms": None}
        elif kind == "cis.dag.session.recovered":
            blocked = self.blocked.get((body["task"], body["session"], body["episode"]))
            if blocked and blocked["until_ms"] is None:
                blocked["until_ms"] = at_ms
        elif kind == "cis.dag.session.answered" and body["task"]:
            answer = {name: body.get(name) for name in ("task", "item", "by", "option", "text", "reason")}
            self.answers.append({**answer, "at_ms": at_ms, "void": False, "input": body["input"]})
        elif kind == "cis.dag.session.answer_void":
            for answer in self.answers:
                answer["void"] |= answer["input"] == body["input"]
        elif kind == "cis.dag.task.approved":
            self.decided(body["task"], body["by"], "approve", body.get("comment"), at_ms)

    def ended(self, body, at_ms):
        task = body["task"]
        self.tasks[task] = body["state"]
        # Merged with its beginning, it says by itself who worked on it.
        worker = body.get("node", self.owner) if "granted_ms" in body else self.workers.get(task, self.owner)
        for key, blocked in self.blocked.items():
            if key[1] == body["session"] and blocked["until_ms"] is None:
                blocked["until_ms"] = at_ms
        self.attempts[(task, body["attempt"])] = {
            "task": task,
            "attempt": body["attempt"],
            "outcome": OUTCOMES.get(body["outcome"], body["outcome"]),
            "exit": body.get("exit"),
            "started_ms": body.get("started_ms"),
            "ended_ms": body["ended_ms"],
            "node": worker,
            "outputs": {
                name: {"value": output["value"], "hash": output["hash"]}
                for name, output in body.get("outputs", {}).items()
            },
        }

    def expanded(self, task, count):
        items = {f"{task}.{n}": "queued" for n in range(1, count + 1)}
        longer = [name for name in self.tasks if is_item(name, task) and name not in items]
        self.tasks.update({task: "queued", **items, **{name: "completed" for name in longer}})

    def decided(self, task, by, what, reason, at_ms):
        answer = {"task": task, "item": None, "by": by, "option": what, "text": what, "reason": reason}
        self.answers.append({**answer, "at_ms": at_ms, "void": False, "input": None})

    def canonical(self):
        blocked = [
            {"task": task, "session": session, "episode": episode, **self.blocked[(task, session, episode)]}
            for task, session, episode in sorted(self.blocked)
        ]
        answers = [{name: value for name, value in answer.items() if name != "input"} for answer in self.answers]
        return envelope.canonical(
            {
                "v": 1,
                "run": self.run,
                "spec": self.spec,
                "state": self.state,
                "tasks": self.tasks,
                "attempts": [self.attempts[key] for key in sorted(self.attempts)],
                "blocked": blocked,
                "answers": answers,
            }
        )

    def hash(self):
        return hashlib.sha256(self.canonical()).hexdigest()


def is_item(name, task):
    return name.startswith(f"{task}.") and name[len(task) + 1 :].isdigit()


def main():
    given = json.loads(os.environ["WITNESS"])
    fold, stated, folded = Fold(given["run"]), [], []
    for event in of_types(given, ["cis.dag.run.journal", "cis.dag.run.snapshot"]):
        content = event["content"]
        envelope.check(content, given["room"], event["type"], event["sender"])
        if content["run"] != given["run"]:
            continue
        for entry in content["body"]["entries"]:
            fold.take(entry)
        if event["type"] == "cis.dag.run.snapshot":
            stated.append(content["body"]["state"])
            folded.append(fold.hash())
    print(json.dumps({"canonical": fold.canonical().decode(), "stated": stated, "folded": folded}))


if __name__ == "__main__":
    main()
