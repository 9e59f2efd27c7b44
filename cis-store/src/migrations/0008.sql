-- A checksum of each event: a damaged page whose structure stays valid is noticed. NULL: an earlier version wrote the event.
ALTER TABLE events ADD COLUMN sum INTEGER;
