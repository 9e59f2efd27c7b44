//! Pages of listings that are held in memory.

use serde::Serialize;

use cis_core::api::{HistoryEntry, Listing, Page, Problem, ProblemKind, ReadHistory, TaskView};
use cis_core::ids::Offset;

/// A page holds at most so many.
const PAGE_MAX: u32 = 1000;

/// Maximum size as JSON of the outputs of all tasks of an answer, and of their lists of artifacts, bytes each. Clients
/// read answers of at most 64 MiB.
pub(super) const RESULTS_BYTES_MAX: usize = 16 << 20;

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

/// Leaves out the outputs, and the lists of artifacts, that do not fit into an answer about several tasks: at most
/// `bytes_max` of each.
pub(super) fn bound_results(tasks: &mut [TaskView], bytes_max: usize) {
    let (mut outputs_left, mut artifacts_left) = (bytes_max, bytes_max);
    for task in tasks {
        if !task.outputs.is_empty() && !takes(&mut outputs_left, &task.outputs) {
            task.outputs.clear();
            task.outputs_omitted = true;
        }
        if !task.artifacts.is_empty() && !takes(&mut artifacts_left, &task.artifacts) {
            task.artifacts.clear();
            task.artifacts_omitted = true;
        }
    }
}

/// Takes the size of `part` from the bytes that are left, if it fits.
fn takes(left: &mut usize, part: &impl Serialize) -> bool {
    let bytes = serde_json::to_string(part).map_or(0, |json| json.len());
    let rest = left.checked_sub(bytes);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn outputs_and_artifacts_that_do_not_fit_are_left_out_and_marked() {
        let task = |id: &str, outputs: Value, files: usize| -> TaskView {
            let artifacts = vec![json!({ "path": "x", "blob": "00", "size": 1 }); files];
            let task = json!({ "id": id, "state": "succeeded", "needs": [], "attempts": 1, "session": null,
                "started_ms": null, "ended_ms": null, "exit_code": null, "outputs": outputs, "artifacts": artifacts });
            serde_json::from_value(task).unwrap()
        };
        let large = json!({ "o": "x".repeat(100) });
        let all = [
            task("a", large.clone(), 0),
            task("b", json!({}), 3),
            task("c", large, 2),
            task("d", json!({ "o": 1 }), 1),
        ];
        let mut bound = all.clone();
        bound_results(&mut bound, 1000);
        assert_eq!(bound, all);
        bound_results(&mut bound, 150);
        let left_out = TaskView {
            outputs: [].into(),
            outputs_omitted: true,
            artifacts: Vec::new(),
            artifacts_omitted: true,
            ..all[2].clone()
        };
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
