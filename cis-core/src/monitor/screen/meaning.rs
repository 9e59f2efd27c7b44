//! What an option means, by its words.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use crate::event::Meaning;

static RULES: LazyLock<Vec<(Regex, Meaning)>> = LazyLock::new(|| {
    [
        (r"^(don.?t|do not|never|stop) ask", Meaning::AllowAlways),
        (r"^(no|n|reject|deny|decline|refuse|don'?t)\b.*\b(tell|suggest|chang|differently|explain|feedback|instead|say|edit)", Meaning::DenyAndSay),
        (r"\b(deny|denied|reject|refuse|disallow|forbid)\b", Meaning::Deny),
        (r"^(allow|approve|accept|trust|run|grant) (never|nothing|none|no)\b", Meaning::Deny),
        (r"^(no|n|nein|non|nee|nej|nie|não|нет|いいえ|否|不|아니오|hayır|ei|reject|deny|decline|refuse|disallow|never|don'?t|do not)\b", Meaning::Deny),
        (r"^(cancel|abort|quit|exit|back|q|c|esc|leave|dismiss|stop|go back)\b", Meaning::Cancel),
        (r"^(yes|y|ja|oui|allow|approve|accept|trust|run|always|proceed)\b.*\bsession\b", Meaning::AllowSession),
        (r"^(yes|y|ja|oui|allow|approve|accept|trust|run|always|proceed)\b.*(\b(always|permanently|forever|auto|every time|all projects|everything|to all)\b|don.?t ask|(never|not|without) ask|\bauto-)", Meaning::AllowAlways),
        (r"^(always|a\b.*always|permanently)", Meaning::AllowAlways),
        (r"^all\b", Meaning::AllowSession),
        (r"^(yes|y|ja|oui|sí|si|sim|tak|да|はい|是|예|네|evet|kyllä|allow|approve|accept|trust|run|ok,? run|proceed|confirm|overwrite|install|apply|delete|remove)\b", Meaning::AllowOnce),
        (r"^(continue|skip|next|ok|okay|close|default|keep|done|later|got it|not now)\b", Meaning::Continue),
    ]
    .map(|(words, meaning)| (pattern(words), meaning))
    .into()
});

/// The meaning of a label, where its words tell.
pub(in crate::monitor) fn meaning_of(label: &str) -> Option<Meaning> {
    let label = label.trim().trim_matches(['(', ')', '[', ']']).to_lowercase().replace('\u{2019}', "'");
    RULES.iter().find(|(words, _)| words.is_match(&label)).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_not_places() {
        use Meaning::*;
        let cases = [
            ("Yes", Some(AllowOnce)),
            ("Yes, proceed", Some(AllowOnce)),
            ("Allow once", Some(AllowOnce)),
            ("Yes, I trust this folder", Some(AllowOnce)),
            ("Allow for this session", Some(AllowSession)),
            ("Yes, allow all edits during this session", Some(AllowSession)),
            ("Yes, and don\u{2019}t ask again for commands that start with `touch`", Some(AllowAlways)),
            ("Yes, and always allow access to ws from this project", Some(AllowAlways)),
            ("Yes, and switch to auto mode", Some(AllowAlways)),
            ("Allow always", Some(AllowAlways)),
            ("Don't ask again", Some(AllowAlways)),
            ("Do not ask again", Some(AllowAlways)),
            ("Yes, never ask again", Some(AllowAlways)),
            ("Run without asking again", Some(AllowAlways)),
            ("Yes to everything", Some(AllowAlways)),
            ("Always deny", Some(Deny)),
            ("Never allow", Some(Deny)),
            ("Allow never", Some(Deny)),
            ("Trust nothing", Some(Deny)),
            ("No", Some(Deny)),
            ("No, exit", Some(Deny)),
            ("Reject", Some(Deny)),
            ("No, suggest changes", Some(DenyAndSay)),
            ("No, and tell it what to do differently", Some(DenyAndSay)),
            ("Continue without trusting", Some(Continue)),
            ("Back", Some(Cancel)),
            ("Enter a custom value", None),
            ("Red", None),
            ("Nothing of these", None),
        ];
        for (label, meaning) in cases {
            assert_eq!(meaning_of(label), meaning, "{label}");
        }
    }
}
