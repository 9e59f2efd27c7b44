//! What tests of several modules share.

use proptest::sample::Index;

use crate::api::InboxItem;
use crate::event::{Meaning, PromptKind, PromptOption, Urgency};
use crate::ids::{InboxId, SessionId};

/// Makes a question of a session with these options: id, label, meaning, keys.
pub(crate) fn question(options: &[(&str, &str, Option<Meaning>, &str)]) -> InboxItem {
    let option = |(id, label, meaning, keys): &(&str, &str, Option<Meaning>, &str)| PromptOption {
        id: (*id).to_owned(),
        label: (*label).to_owned(),
        meaning: *meaning,
        keys: (*keys).to_owned(),
    };
    InboxItem {
        id: InboxId("kqzvra".to_owned()),
        run: None,
        task: None,
        session: Some(SessionId::from_parts(1, 1)),
        kind: PromptKind::Question,
        question: String::new(),
        options: options.iter().map(option).collect(),
        since: 0,
        confidence: 100,
        layer: None,
        episode: Some(1),
        hash: String::new(),
        screen: String::new(),
        ask_type: None,
        urgency: Urgency::Medium,
        thread: None,
        answered_by: None,
        answered_ms: None,
        until_ms: None,
        closed: None,
    }
}

/// Splits bytes at these places.
pub(crate) fn split_at<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}
