//! Offsets of events that are not there. Offsets are given without gaps, so each gap is a loss: one that a rebuild has noted,
//! or one that nobody knows of yet.

use std::ops::RangeInclusive;

use rusqlite::Connection;

/// First and last offset of a gap.
pub(super) type Gap = (i64, i64);

/// Returns the gaps that the store knows of.
///
/// # Errors
/// The table cannot be read, or the store is of a version without it.
pub(super) fn read(conn: &Connection, schema: &str) -> rusqlite::Result<Vec<Gap>> {
    let mut read = conn.prepare(&format!("SELECT first, last FROM {schema}.lost_events ORDER BY first"))?;
    read.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Notes all gaps of a store that was rebuilt.
pub(super) fn note(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("../migrations/gaps.sql"))
}

/// Returns the gaps among ascending offsets, without the `known` ones.
pub(super) fn without(offsets: &[i64], known: &[Gap]) -> Vec<RangeInclusive<i64>> {
    let mut missing = Vec::new();
    let mut known = known.iter().peekable();
    let mut next = 1;
    for offset in offsets {
        while next < *offset {
            // What is known of the gap is left out.
            while known.next_if(|(_, last)| *last < next).is_some() {}
            match known.peek() {
                Some((first, last)) if *first <= next => next = last.saturating_add(1),
                Some((first, _)) if first < offset => {
                    missing.push(next..=first - 1);
                    next = *first;
                }
                _ => {
                    missing.push(next..=offset - 1);
                    next = *offset;
                }
            }
        }
        next = next.max(offset.saturating_add(1));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_missing_unless_it_is_known() {
        let missing = |offsets: &[i64], known: &[Gap]| without(offsets, known);
        assert_eq!(missing(&[1, 2, 3], &[]), []);
        assert_eq!(missing(&[3, 4, 8], &[]), [1..=2, 5..=7]);
        assert_eq!(missing(&[3, 4, 8], &[(1, 2), (5, 7)]), []);
        assert_eq!(missing(&[3, 4, 8], &[(1, 1), (6, 6)]), [2..=2, 5..=5, 7..=7]);
        assert_eq!(missing(&[9], &[(2, 3), (4, 4), (20, 30)]), [1..=1, 5..=8]);
        assert_eq!(missing(&[1, 9], &[(-5, 40)]), []);
    }
}
