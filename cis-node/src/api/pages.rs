//! Pages of listings that are held in memory.

use cis_core::api::{HistoryEntry, Listing, Page, Problem, ProblemKind, ReadHistory};
use cis_core::ids::Offset;

/// A page holds at most so many.
const PAGE_MAX: u32 = 1000;

/// The page that is asked for. `name` is what no other item of the listing has; the page behind one begins after it.
pub(crate) fn page_of<T>(
    mut items: Vec<T>,
    page: &Page,
    name: impl Fn(&T) -> String,
) -> Result<Listing<T>, Problem> {
    if let Some(after) = &page.after {
        let Some(last) = items.iter().position(|item| name(item) == *after) else {
            let detail = format!("`{after}` is not the `next` of a page of this listing, or is gone by now");
            return Err(Problem::new(ProblemKind::BadInput, detail).hint("begin again without `after`"));
        };
        items.drain(..=last);
    }
    let limit = page.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX) as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(name);
    Ok(Listing { items, next })
}

/// Returns one page of a history. Entries of one event are always on the same page.
pub(super) fn history_page(
    mut entries: Vec<HistoryEntry>,
    query: &ReadHistory,
) -> Result<Listing<HistoryEntry>, Problem> {
    if let Some(after) = &query.after {
        let Ok(after) = after.parse::<Offset>() else {
            let detail = format!("`{after}` is not the `next` of a page of this listing");
            return Err(Problem::new(ProblemKind::BadInput, detail).hint("begin again without `after`"));
        };
        entries.retain(|entry| entry.offset > after);
    }
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX) as usize;
    let Some(last) = entries.get(limit - 1).map(|entry| entry.offset) else {
        return Ok(Listing { items: entries, next: None });
    };
    let end = entries.partition_point(|entry| entry.offset <= last);
    let more = end < entries.len();
    entries.truncate(end);
    Ok(Listing { items: entries, next: more.then(|| last.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_every_item_once() {
        let (mut page, mut all) = (Page { limit: Some(3), after: None }, Vec::new());
        loop {
            let listing = page_of((0..10).collect(), &page, ToString::to_string).unwrap();
            assert!(listing.items.len() <= 3);
            all.extend(listing.items);
            match listing.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        let gone = Page { limit: None, after: Some("11".to_owned()) };
        assert!(page_of(vec![1], &gone, ToString::to_string).is_err());
        let none = Page { limit: Some(0), after: None };
        assert_eq!(page_of(vec![1, 2], &none, ToString::to_string).unwrap().items, [1]);
    }
}
