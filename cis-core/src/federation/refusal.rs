//! Refused control requests, as the store of a node remembers them. A copy of a request may arrive after the node has restarted: it
//! gets the same refusal, and is not carried out.
//!
//! Owns the key and the text of a row. What was carried out has a row of its own, under the id of the request. Stores nothing.

use crate::api::{Problem, ProblemKind};
use crate::ids::{InputId, NodeDid};

/// What the text of a refusal begins with: no other row of an input does.
const PREFIX: &str = "refused ";

/// The key under which the refusal of a request of `from` is remembered. The id alone is the choice of `from`: it could be the one of
/// somebody else's request.
#[must_use]
pub fn key(from: &NodeDid, id: InputId) -> InputId {
    InputId::hashed(&format!("refusal of request {id} of {from}"))
}

/// The text that remembers a refusal. None: the refusal holds only for now, and the same request may be carried out later.
#[must_use]
pub fn to_text(why: &Problem) -> Option<String> {
    if why.kind == ProblemKind::Unavailable {
        return None;
    }
    // What is left out is long, and of no use on another machine.
    let why = Problem { diagnostics: Vec::new(), item: None, ..why.clone() };
    // A plain struct with text keys: it has JSON.
    Some(format!("{PREFIX}{}", serde_json::to_string(&why).unwrap_or_default()))
}

/// The refusal that a text remembers. None: it remembers something else.
#[must_use]
pub fn from_text(text: &str) -> Option<Problem> {
    serde_json::from_str(text.strip_prefix(PREFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_word_for_word() {
        let why = Problem::new(ProblemKind::Conflict, "run 1 is paused").hint("resume it");
        assert_eq!(from_text(&to_text(&why).unwrap()), Some(why.clone()));
        let busy = Problem { kind: ProblemKind::Unavailable, ..why };
        assert_eq!(to_text(&busy), None);
        assert_eq!(from_text("cancelled 1"), None);
    }

    /// Stores of this version are read by later ones.
    #[test]
    fn the_format_does_not_change() {
        let why = Problem::new(ProblemKind::Conflict, "it has ended").hint("retry it");
        let golden = concat!(
            r#"refused {"type":"about:cis:conflict","title":"not possible in this state","status":409,"#,
            r#""detail":"it has ended","kind":"conflict","hint":"retry it"}"#
        );
        assert_eq!(to_text(&why).unwrap(), golden);
        let from = NodeDid("did:key:z6Mk".to_owned());
        assert_eq!(key(&from, InputId::from_parts(1, 2)).to_string(), "1G3B39PXCJCFDVFKQ6JEWA0K3R");
    }

    #[test]
    fn requests_of_two_nodes_with_one_id_have_two_refusals() {
        let id = InputId::from_parts(1, 7);
        let (one, other) = (NodeDid("did:key:a".to_owned()), NodeDid("did:key:b".to_owned()));
        assert_ne!(key(&one, id), key(&other, id));
        assert_ne!(key(&one, id), id);
    }
}
