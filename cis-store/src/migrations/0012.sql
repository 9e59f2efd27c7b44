-- When a run was retried last. NULL: never.
ALTER TABLE runs ADD COLUMN retried_ms INTEGER;
