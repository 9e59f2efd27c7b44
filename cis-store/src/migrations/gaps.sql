INSERT INTO lost_events (first, last)
    SELECT before + 1, offset - 1 FROM (SELECT offset, lag(offset, 1, 0) OVER (ORDER BY offset) AS before FROM events)
    WHERE offset > before + 1;
