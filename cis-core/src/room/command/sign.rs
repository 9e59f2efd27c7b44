//! Reactions that mean something. All others are people's own.

use crate::room::question::KEYCAPS;

/// What a reaction says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// An option by its number, from 1.
    Number(usize),
    /// Yes.
    Yes,
    /// No.
    No,
}

/// Reads the key of a reaction. None: it means nothing here.
#[must_use]
pub fn sign(key: &str) -> Option<Sign> {
    // With or without the sign that asks for colours, and in any colour of skin.
    let bare = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')).collect()
    };
    if key.len() > 32 {
        return None;
    }
    let key = bare(key.trim());
    if let Some(at) = KEYCAPS.iter().position(|cap| bare(cap) == key) {
        return Some(Sign::Number(at + 1));
    }
    match key.as_str() {
        "✅" | "✔" | "👍" => Some(Sign::Yes),
        "❌" | "✖" | "👎" => Some(Sign::No),
        _ => None,
    }
}
