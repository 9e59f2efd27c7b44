"""The bodies of a journal's entries, read from docs/reference/events.md alone: nothing here is the node's code."""

from exported import is_int, is_ulid

ANY_INT = lambda value: is_int(value, -(2**63))
NUMBER = lambda value: is_int(value, high=2**32 - 1)
TRY = lambda value: is_int(value, 1, 2**32 - 1)
COUNT = lambda value: is_int(value, high=2**53)
OF = lambda *kinds: lambda value: isinstance(value, kinds)
ONE_OF = lambda *values: lambda value: isinstance(value, str) and value in values
TEXT, FLAG, LIST, OBJECT = OF(str), OF(bool), OF(list), OF(dict)
MODE = ONE_OF("local", "hybrid", "matrix")
OUTCOME = ONE_OF("succeeded", "failed", "spawn_error", "lost", "cancelled")
SESSION = {"session": is_ulid}

SHAPES = {
    "run.created": {
        **{"dag": TEXT, "spec": TEXT, "tasks": NUMBER, "params": OBJECT, "max_parallel": NUMBER, "mode": MODE},
        **{"owner": TEXT, "epoch": NUMBER},
    },
    "run.cancelling": {"reason": OBJECT},
    "run.failed": {"detail": TEXT},
    "run.error": {"detail": TEXT},
    "run.retried": {"scope": ONE_OF("all", "failed", "from"), "changes": LIST},
    "run.mode": {"mode": MODE},
    "run.taken_over": {"owner": TEXT, "epoch": NUMBER, "cut": COUNT},
    "task.status": {"changes": LIST},
    "task.assigned": {**SESSION, "task": TEXT, "attempt": TRY, "fence": COUNT, "node": TEXT},
    "task.result": {
        **{**SESSION, "task": TEXT, "attempt": TRY, "fence": COUNT, "outcome": OUTCOME, "ended_ms": ANY_INT},
        **{"counts": FLAG, "state": TEXT},
    },
    "task.added": {"parent": TEXT, "tasks": LIST},
    "task.expanded": {"task": TEXT, "items": LIST},
    "task.handed_in": {**SESSION, "task": TEXT},
    "task.approved": {"task": TEXT, "by": TEXT},
    "session.started": SESSION,
    "session.blocked": {**SESSION, "item": TEXT, "episode": NUMBER, "kind": TEXT},
    "session.recovered": {**SESSION, "episode": NUMBER},
    "session.answered": {**SESSION, "item": TEXT, "input": is_ulid, "text": TEXT, "by": TEXT, "bytes": COUNT},
    "session.answer_void": {**SESSION, "item": TEXT, "input": is_ulid, "detail": TEXT},
}
# Fields that may be absent.
OPTIONAL = {
    **{"started_ms": ANY_INT, "granted_ms": ANY_INT, "queued_ms": ANY_INT, "lease_ms": ANY_INT, "log_bytes": COUNT},
    **{"exit": OBJECT, "outputs": OBJECT, "log": OBJECT, "artifacts": LIST, "end": OBJECT, "queued": OBJECT},
    **{"node": TEXT, "room": TEXT, "parent": TEXT, "comment": TEXT, "task": TEXT, "option": TEXT, "text": TEXT},
}
LOG = {"sha256": TEXT, "size": COUNT, "of": COUNT, "media": lambda value: True}
CAUSES = {"failed": "cause", "spawn_error": "detail", "lost": "detail"}


def check_body(kind, body):
    """Raises ValueError for a body of another shape."""
    fields(kind, body, SHAPES.get(kind, {}))
    for name, is_right in OPTIONAL.items():
        if body.get(name) is not None and not is_right(body[name]):
            raise ValueError(f"`{kind}` is not of its shape: `{name}`")
    if body.get("log") is not None:
        fields("log", body["log"], LOG)
    if body.get("exit") is not None:
        [(how, number)] = body["exit"].items()
        if how not in ("code", "signal") or not is_int(number, -(2**31), 2**31 - 1):
            raise ValueError("how a process ended is not of its shape")
    if kind == "task.result" and body["outcome"] in CAUSES and CAUSES[body["outcome"]] not in body:
        raise ValueError(f"`{kind}` does not say why")


def fields(kind, body, wanted):
    for name, is_right in wanted.items():
        if name not in body or not is_right(body[name]):
            raise ValueError(f"`{kind}` is not of its shape: `{name}`")
