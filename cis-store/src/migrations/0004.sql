-- Version 4. Threads are each of one session: two sessions may have asks of the same letters.

ALTER TABLE thread_messages ADD COLUMN session TEXT;           -- ULID
UPDATE thread_messages SET session =
    (SELECT e.body ->> '$.session' FROM events e WHERE e.offset = thread_messages.key);
DROP INDEX thread_messages_thread;
CREATE INDEX thread_messages_of ON thread_messages (session, thread);

-- Its session waits for the answer to an ask that it had made without waiting.
ALTER TABLE inbox ADD COLUMN waited INTEGER NOT NULL DEFAULT 0;
