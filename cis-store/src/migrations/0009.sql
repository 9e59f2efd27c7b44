-- Gaps among the offsets of events. Events are never removed: what is missing beyond these gaps was lost.
CREATE TABLE lost_events (
    first INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL
) STRICT;
