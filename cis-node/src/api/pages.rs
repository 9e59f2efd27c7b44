//! Pages of listings that are held in memory.

use cis_core::api::{HistoryEntry, Listing, Page, Problem, ProblemKind, ReadHistory, TaskView};
use cis_core::ids::Offset;

/// A page holds at most so many.
const PAGE_MAX: u32 = 1000;

/// Maximum size of the outputs of all tasks of an answer as JSON, bytes. Clients read answers of at most 64 MiB.
pub(super) const OUTPUTS_BYTES_MAX: usize = 16 << 20;

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

/// Leaves out the outputs of tasks that do not fit into an answer about several tasks.
pub(super) fn bound_outputs(tasks: &mut [TaskView], bytes_max: usize) {
    let mut left = bytes_max;
    for task in tasks.iter_mut().filter(|task| !task.outputs.is_empty()) {
        let bytes = serde_json::to_string(&task.outputs).map_or(0, |json| json.len());
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => {
                task.outputs.clear();
                task.outputs_omitted = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn outputs_that_do_not_fit_are_left_out_and_marked() {
        let task = |id: &str, outputs: Value| -> TaskView {
            let task = json!({ "id": id, "state": "succeeded", "needs": [], "attempts": 1, "session": null,
                "started_ms": null, "ended_ms": null, "exit_code": null, "outputs": outputs });
            serde_json::from_value(task).unwrap()
        };
        let large = json!({ "o": "x".repeat(100) });
        let all =
            [task("a", large.clone()), task("b", json!({})), task("c", large), task("d", json!({ "o": 1 }))];
        let mut bound = all.clone();
        bound_outputs(&mut bound, 1000);
        assert_eq!(bound, all);
        bound_outputs(&mut bound, 150);
        let left_out = TaskView { outputs: [].into(), outputs_omitted: true, ..all[2].clone() };
        assert_eq!(bound, [all[0].clone(), all[1].clone(), left_out, all[3].clone()]);
    }

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
