//! The content of a message and of an edit, as it is sent.
//!
//! Owns `m.room.message` with its relations and mentions, and the limit of its size. Every content names its
//! mentions, be it none: then no client and no homeserver looks for them in the text.

use serde_json::{Map, Value, json};

use super::page::{CUTS_MAX, Page, Written};
use crate::matrix::{EventId, UserId};

/// A content is at most so large, bytes of JSON. Homeservers take events of 65,536 bytes; encrypted and in
/// base64 this becomes 60,000, so that the same message fits into every room.
pub const CONTENT_BYTES_MAX: usize = 45_000;
/// So many people are mentioned at once.
const MENTIONS_MAX: usize = 50;

/// How loud it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `m.notice`: no sound.
    Notice,
    /// `m.text`: rings for whom it mentions.
    Text,
}

/// What it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Relation {
    None,
    /// In the thread of that event.
    Thread(EventId),
    /// Answers that event.
    Reply(EventId),
}

/// A message that people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    kind: Kind,
    page: Page,
    mentions: Vec<UserId>,
    relation: Relation,
    beside: Option<(&'static str, Value)>,
}

impl Message {
    pub(super) fn notice(page: Page) -> Self {
        Self { kind: Kind::Notice, page, mentions: Vec::new(), relation: Relation::None, beside: None }
    }

    /// One that rings for these people.
    pub(super) fn ringing(page: Page, mentions: &[UserId]) -> Self {
        let mentions = mentions.iter().take(MENTIONS_MAX).cloned().collect();
        Self { kind: Kind::Text, mentions, ..Self::notice(page) }
    }

    /// In the thread of `root`.
    #[must_use]
    pub fn in_thread(mut self, root: EventId) -> Self {
        self.relation = Relation::Thread(root);
        self
    }

    /// As a reply to `event`.
    #[must_use]
    pub fn answering(mut self, event: EventId) -> Self {
        self.relation = Relation::Reply(event);
        self
    }

    /// With a payload for programs beside the text; clients of people pass over it.
    pub(super) fn beside(mut self, name: &'static str, value: Value) -> Self {
        self.beside = Some((name, value));
        self
    }

    /// Its first line, as plain text.
    #[must_use]
    pub fn headline(&self) -> String {
        self.page.headline()
    }

    /// The content of an `m.room.message`, cut where it is too large.
    #[must_use]
    pub fn content(&self) -> Value {
        self.fitting(|message, written| {
            let mut content = message.text(written);
            if let Some(relation) = message.relation() {
                content.insert("m.relates_to".to_owned(), relation);
            }
            content
        })
    }

    /// The content of an edit that puts this message in the place of `event`. Clients that know no edits
    /// show its first line.
    #[must_use]
    pub fn edit_of(&self, event: &EventId) -> Value {
        self.fitting(|message, written| {
            let new = message.text(written);
            let mut content = Map::new();
            content.insert("msgtype".to_owned(), new["msgtype"].clone());
            content.insert("body".to_owned(), json!(message.headline()));
            // Of an edit only mentions that are new stand here: nobody is rung twice.
            content.insert("m.mentions".to_owned(), json!({}));
            content.insert("m.new_content".to_owned(), Value::Object(new));
            content.insert("m.relates_to".to_owned(), json!({ "rel_type": "m.replace", "event_id": event }));
            content
        })
    }

    /// The least cut form that fits.
    fn fitting(&self, make: impl Fn(&Self, &Written) -> Map<String, Value>) -> Value {
        for cuts in 0..=CUTS_MAX {
            let content = Value::Object(make(self, &self.page.write(cuts)));
            if size(&content) <= CONTENT_BYTES_MAX {
                return content;
            }
        }
        let least = Self { page: self.page.first_line(), beside: None, ..self.clone() };
        Value::Object(make(&least, &least.page.write(1)))
    }

    fn text(&self, written: &Written) -> Map<String, Value> {
        let mut content = Map::new();
        let kind = match self.kind {
            Kind::Notice => "m.notice",
            Kind::Text => "m.text",
        };
        content.insert("msgtype".to_owned(), json!(kind));
        content.insert("body".to_owned(), json!(written.body));
        content.insert("format".to_owned(), json!("org.matrix.custom.html"));
        content.insert("formatted_body".to_owned(), json!(written.html));
        let mentions =
            if self.mentions.is_empty() { json!({}) } else { json!({ "user_ids": self.mentions }) };
        content.insert("m.mentions".to_owned(), mentions);
        if let Some((name, value)) = &self.beside {
            content.insert((*name).to_owned(), value.clone());
        }
        content
    }

    fn relation(&self) -> Option<Value> {
        match &self.relation {
            Relation::None => None,
            Relation::Thread(root) => Some(json!({
                "rel_type": "m.thread",
                "event_id": root,
                "is_falling_back": true,
                "m.in_reply_to": { "event_id": root },
            })),
            Relation::Reply(event) => Some(json!({ "m.in_reply_to": { "event_id": event } })),
        }
    }
}

/// Bytes of a content as JSON.
#[must_use]
pub fn size(content: &Value) -> usize {
    serde_json::to_vec(content).map_or(usize::MAX, |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use super::super::page::said;
    use super::*;

    fn event() -> EventId {
        "$root".parse().unwrap()
    }

    #[test]
    fn an_edit_has_the_whole_new_content_and_a_line_for_clients_without_edits() {
        let mut page = Page::default();
        page.line([said("ship is <done>")]);
        page.code("log");
        let message = Message::ringing(page, &["@ann:x".parse().unwrap()]).beside("cis.dag.card", json!(1));
        insta::assert_json_snapshot!(message.edit_of(&event()));
        insta::assert_json_snapshot!(message.in_thread(event()).content()["m.relates_to"]);
    }

    #[test]
    fn what_is_too_large_is_cut_and_says_so() {
        let mut page = Page::default();
        page.line([said("first")]);
        for _ in 0..20 {
            page.code(&"\"quoted\" <&> \\ \u{1f600}\n".repeat(500));
        }
        let content = Message::notice(page).content();
        assert!(size(&content) <= CONTENT_BYTES_MAX);
        assert!(size(&content) > CONTENT_BYTES_MAX / 4, "no more is cut than needed: {}", size(&content));
        assert!(content["body"].as_str().unwrap().contains("Shortened to fit"));
    }

    #[test]
    fn where_nothing_helps_the_first_line_is_left() {
        let mut page = Page::default();
        page.line([said("first")]);
        for _ in 0..300 {
            page.line([said(&"\"".repeat(2000))]);
        }
        let content = Message::notice(page).content();
        assert!(size(&content) <= CONTENT_BYTES_MAX);
        let body = content["body"].as_str().unwrap();
        assert!(body.starts_with("first") && body.len() < 200, "{body}");
    }
}
