//! What an option means, by its words.
//!
//! A label that allows something once, refuses, goes on or cancels has a meaning only if all of its words are known. People choose any other option
//! by its number, its key or its label.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use crate::event::Meaning;

/// Words that agree, in some languages.
const YES: &str = "yes|ja|oui|sí|si|sim|tak|da|はい|是|예|네|evet|kyllä|sure";
/// Words that refuse.
const NO: &str = "no|nope|nein|non|nee|nej|não|нет|いいえ|否|不|아니오|hayır|ei";
/// Verbs of a permission.
const ALLOWS: &str = "allow|approve|accept|trust|grant|permit|authori[sz]e";
/// Verbs that do what is asked about.
const DOES: &str = "run|execute|confirm|install|apply|create";
/// Verbs of a refusal.
const REFUSES: &str = "deny|reject|decline|refuse|disallow|forbid";
/// What a single permission or refusal may be about.
const OBJECT: &str = r"(?: (?:it|this|(?:(?:the|this|an?) )?(?:access|action|change|command|directory|edit|file|folder|package|plan|project|request|tool|tool call|workspace)))?";
/// Not, before what is not done.
const NOT: &str = r"(?:don'?t|do not|never|not|without|no longer|stop|quit)(?: \pL+ly)?";
/// What a permission may be for.
const SCOPE: &str = r"(?:project|repo|repository|workspace|work ?tree|folder|directory|dir|tree|path|user|account|machine|computer|device|host|server|domain|site|origin|app|program|command|tool|agent|task|run|branch|conversation|chat|window|kind|type|hour|day|week|month|year)s?";
/// A permission that lasts, or is for more than the case that is asked about, whatever else the label says.
const LASTING: &str = concat!(
    r"\b(?:always|permanent(?:ly)?|forever|indefinitely|auto|automatic(?:ally)?|remember(?:s|ed|ing)?|future|henceforth|hereafter",
    r"|from (?:now|here|today)|now on|going forward|next times?|every ?time|each time|rest of|today|tonight|global(?:ly)?|\pL+-?wide",
    r"|everywhere|anywhere|everything|anything|everyone|everybody|anyone|anybody|whenever|no matter|parent (?:folder|directory)",
    r"|sub-?(?:folders|directories|dirs)|recursive(?:ly)?|(?:white|allow|safe) ?-?list|full access|unrestricted|yolo|bypass",
    r"|(?:start(?:s|ing)|begin(?:s|ning)) with|match(?:es|ing)|prefix|pattern|wildcard|like th(?:is|ese|at)|similar|such \pL+s",
    r"|(?:this|that|such) (?:type|kind|sort|class) of|of (?:this|that) (?:type|kind|sort|class)",
    r"|save (?:this|the|my) (?:choice|answer|decision|preference|setting)s?|to all|all (?:projects|sessions|edits|commands|tools)|sessions",
    r"|(?:stop|quit|skip|disable|suppress|without|no(?: more)?|fewer) (?:asking|prompt(?:s|ing)?|questions?|confirm\w*|approvals?|permissions?)",
    r"|(?:don'?t|do not|never|not|without|no longer) (?:ask|prompt|confirm|bother)\w*)\b",
    r"|immer|dauerhaft|künftig|nicht mehr fragen|toujours|siempre|sempre|altijd|zawsze|всегда|常に|总是|始終|始终|항상|永久",
);
/// A permission for more than one case, behind a verb that permits.
const BROAD: &str = r"\b(?:all|any|every|each|entire|whole|until|till|unless|while|as long as|during|project|repo|repository|workspace|persist\w*)\b|\*";
/// A label that may mean more than one case.
const VAGUE: &str = r"\b(?:all|any|every|each|until|till|as long as|during|for (?:this|that|these|those)|as (?:the |my )?default|\d+ ?(?:h|hrs?|hours?|min|mins|minutes?|days?|weeks?))\b|\balle[sn]?\b|\btou(?:s|tes)\b|\btodos?\b|\btutti\b|すべて|全部";

/// Phrases that are a whole label, and what they mean.
static PHRASES: LazyLock<[(Regex, Meaning); 5]> = LazyLock::new(|| {
    use Meaning::{AllowOnce, Cancel, Continue, Deny, DenyAndSay};
    let act = format!("(?:{ALLOWS}|{DOES}){OBJECT}|proceed|do it|i agree");
    let more = format!(
        "{act}|i (?:{ALLOWS}){OBJECT}|i am sure|i'm sure|continue|go ahead|manually approve edits|this is (?:ok|okay|correct)"
    );
    let agent = "it|claude|claude code|codex|gemini|aider|opencode|the agent|the model";
    let says = format!(
        "tell (?:{agent}) what to do(?: differently| instead)?|say what to do(?: differently| instead)?|say why|suggest changes|explain(?: why)?|give feedback"
    );
    let leaves = "exit|quit|cancel|abort|stop|go back|keep planning";
    let not = format!("(?:don'?t|do not)(?: (?:(?:{ALLOWS}|{DOES}){OBJECT}|continue|proceed))?");
    [
        ("(?:(?:ok|okay),? )?(?:continue|go on|go ahead)(?: anyway| now)?|ok|okay|got it".to_owned(), Continue),
        (
            format!(
                "(?:(?:{YES})(?:,? please)?(?:,? (?:and )?(?:{more}))?|(?:(?:ok|okay),? )?(?:{act}))(?: anyway| now)?(?: (?:just |only )?once)?|once"
            ),
            AllowOnce,
        ),
        (
            format!(
                "(?:{NO})(?:,? (?:thanks|thank you|way|gracias)|, (?:and )?(?:{leaves}|(?:{REFUSES}){OBJECT}|(?:i )?{not}))?|(?:(?:{REFUSES}){OBJECT}|{not})(?: once)?|(?:allow|approve|accept|trust|run|grant) (?:nothing|none)"
            ),
            Deny,
        ),
        (format!("(?:{NO}|{REFUSES})(?:, and |, | and )(?:{says})"), DenyAndSay),
        ("(?:cancel|abort|quit|exit|esc|escape|dismiss|back|go back|never ?mind)(?: now)?".to_owned(), Cancel),
    ]
    .map(|(phrase, meaning)| (pattern(&format!("^(?:{phrase})$")), meaning))
});
/// Labels that allow something for longer, or for more than one case: the person who chooses them asks for that.
static LASTS: LazyLock<Vec<(Regex, Meaning)>> = LazyLock::new(|| {
    use Meaning::{AllowAlways, AllowSession};
    let heads = format!("(?:{YES}|{ALLOWS}|run|proceed|ok|okay|continue)");
    let scope = format!(
        r"(?:for|in|within|across|under|from|on|at) (?:(?:this|that|these|the|my|your|one|an?|next|\d+) ?)*{SCOPE}"
    );
    let span = r"for (?:(?:the|an?|one|next|\d+) ?)+(?:h|hrs?|m|mins?|s|hours?|minutes?|seconds?|days?|weeks?|months?|years?)";
    [
        (
            format!(r"^{heads}\b.*\b(?:beyond|after|every|each|any|across|not (?:just|only))\b.*\bsession\b"),
            AllowAlways,
        ),
        (format!(r"^(?:{YES}|{ALLOWS}|run|proceed|always)\b.*\bsession\b|^all$"), AllowSession),
        (r"^(?:always|a\b.*always|permanently)".to_owned(), AllowAlways),
        (format!(r"^{heads}\b.*(?:{LASTING}|\b(?:{span})\b)"), AllowAlways),
        (format!(r"^(?:(?:{YES})\b.*\b)?(?:{ALLOWS})\b.*(?:{BROAD}|\b{scope}\b)"), AllowAlways),
        (
            format!(r"^(?:{YES})\W+(?:to |for )?(?:all|any|every\w*|until\b.*|till\b.*|{scope}|(?:(?:this|the|whole|entire) )+{SCOPE})\b"),
            AllowAlways,
        ),
    ]
    .map(|(words, meaning)| (pattern(&words), meaning))
    .into()
});
/// Words with which a label is no plain permission for longer: it asks again, refuses, or something is lost.
static NO_PERMISSION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b(?:(?:{REFUSES}|block|ban)\w*|den(?:ied|ying)|nothing|none|(?:{ALLOWS}|run) never)\b|\b{NOT} (?:remember|sav|stor|persist|cancel|abort)|\bask(?:s|ing)?\b(?: me| us)? (?:every|each|always|next|later)\b|\b(?:but|then|and) (?:always )?ask\b|\balways (?:ask|prompt|confirm)|\b(?:overwrit|delet|remov|discard|eras|drop|reset|wip|purg|replac|kill|revert|nuk|destroy|uninstall)\w*"
    ))
});
/// Words by which choices begin, and words that only choices have.
static CHOICE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"^(?:{YES}|{NO}|y|n|nie|{ALLOWS}|{DOES}|proceed|once|all|always|permanently|a\b.*always|overwrite|delete|remove|discard|erase|drop|reset|wipe|purge|replace|kill|revert|continue|skip|next|ok|okay|close|default|keep|done|got it|don'?t|do not|never|decline|not (?:now|yet|allow|approve|accept|run|continue|proceed)|later|maybe|cancel|abort|quit|exit|back|q|c|esc|leave|dismiss|stop|go back|without (?:ask|prompt|show|remind)\w*)\b|\b(?:deny|denied|reject|refuse|disallow|forbid)\b|\b{NOT} (?:den|reject|refus|disallow|forbid|declin|block|cancel|abort|remember|sav|stor|persist)|\bask(?:s|ing)?\b(?: me| us)? (?:every|each|always|next|later)\b|\b(?:but|then|and) (?:always )?ask\b"
    ))
});
static AGREES: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^(?:{YES}|{ALLOWS}|{DOES}|proceed|once|ok,? run)\b")));
static REFUSING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"^(?:(?:{NO}|{REFUSES}|decline|don'?t|do not|never|stop|leave)\b|{NOT} (?:{ALLOWS}|run|continue|proceed)\b)"
    ))
});
/// Words for a single case, which are no scope.
static ONCE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b(?:just |only )?(?:for )?(?:just |only )?this (?:time|once|one)\b(?: only)?")
});
/// What a program writes behind a label: its key, or that it is the default.
static HINT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\s*[(\[](?:[a-z]|esc|enter|tab|default|recommended)[)\]]$"));
static ALLOWING: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^(?:{YES}|{ALLOWS}|ok|proceed|confirm|once)\b")));
static BEYOND: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"{LASTING}|{VAGUE}|\bsession\b")));

/// A label as it is compared: without its hints, brackets, dots, and words for a single case.
fn plain(label: &str) -> String {
    let label = label.trim().to_lowercase().replace('\u{2019}', "'");
    let label = HINT.replace(&label, "");
    let label = ONCE.replace_all(label.trim_matches(['(', ')', '[', ']', '<', '>']), "");
    label.trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '…' | '!' | ',')).to_owned()
}

/// The meaning of a label, if its words leave no doubt.
pub(crate) fn meaning_of(label: &str) -> Option<Meaning> {
    let label = plain(label);
    let lasts =
        || LASTS.iter().filter(|_| !NO_PERMISSION.is_match(&label)).find(|(words, _)| words.is_match(&label));
    let found = lasts().or_else(|| PHRASES.iter().find(|(phrase, _)| phrase.is_match(&label)));
    found.map(|(_, meaning)| *meaning)
}

/// Whether the words are those of a choice, also where they have no meaning of their own.
pub(in crate::monitor) fn is_choice(label: &str) -> bool {
    CHOICE.is_match(&plain(label))
}

/// Whether a label begins with a word that agrees, whatever else it says.
pub(super) fn begins_yes(label: &str) -> bool {
    AGREES.is_match(&plain(label))
}

/// Whether a label begins with a word that refuses, whatever else it says.
pub(super) fn begins_no(label: &str) -> bool {
    REFUSING.is_match(&plain(label))
}

/// Whether a label is words of a permission, and not only of an action.
pub(crate) fn allows(label: &str) -> bool {
    ALLOWING.is_match(&plain(label))
}

/// Whether a label says something of a time, a scope or a repetition beyond the case that is asked about.
pub(crate) fn goes_beyond_once(label: &str) -> bool {
    let lasts = matches!(meaning_of(label), Some(Meaning::AllowSession | Meaning::AllowAlways));
    lasts || BEYOND.is_match(&plain(label))
}

/// Whether one of these labels begins with a number that is not its place, as `#2 Keep`, `② Keep`, `2 files` and `Option 2: keep` do: a
/// number that somebody says could mean either.
#[must_use]
pub(crate) fn shows_other_numbers<'a>(labels: impl Iterator<Item = &'a str>) -> bool {
    labels.enumerate().any(|(at, label)| leading_number(label).is_some_and(|number| number != at + 1))
}

/// The number in the first word of a label, or in the second one.
fn leading_number(label: &str) -> Option<usize> {
    label.split_whitespace().take(2).find_map(|word| {
        let circled = word.chars().next().and_then(|first| match first {
            '①'..='⑳' => Some(first as usize - '①' as usize + 1),
            '❶'..='❿' => Some(first as usize - '❶' as usize + 1),
            '⓪' => Some(0),
            _ => None,
        });
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        circled.or_else(|| bare.parse().ok())
    })
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
            ("Yes, never ask again", Some(AllowAlways)),
            ("Run without asking again", Some(AllowAlways)),
            ("Yes to everything", Some(AllowAlways)),
            ("Never allow", None),
            ("Allow never", None),
            ("never", None),
            ("once", Some(AllowOnce)),
            ("No thanks", Some(Deny)),
            ("No, thank you", Some(Deny)),
            ("Trust nothing", Some(Deny)),
            ("No", Some(Deny)),
            ("No, exit", Some(Deny)),
            ("Reject", Some(Deny)),
            ("No, suggest changes", Some(DenyAndSay)),
            ("No, and tell it what to do differently", Some(DenyAndSay)),
            ("Continue without trusting", None),
            ("OK", Some(Continue)),
            ("Always", Some(AllowAlways)),
            ("all", Some(AllowSession)),
            ("Back", Some(Cancel)),
            ("Enter a custom value", None),
            ("Red", None),
            ("Nothing of these", None),
        ];
        for (label, meaning) in cases {
            assert_eq!(meaning_of(label), meaning, "{label}");
        }
    }

    #[test]
    fn what_lasts_or_is_for_more_than_one_case_is_no_single_permission() {
        use Meaning::*;
        let always = [
            "Allow globally",
            "Allow all",
            "Accept all edits",
            "Approve all future commands",
            "Allow for this project",
            "Yes, remember my choice",
            "Yes, from now on",
            "Yes, stop asking",
            "Yes, for the rest of the day",
            "Accept and remember",
            "Approve any command starting with rm",
            "Trust this folder and all subfolders",
            "Trust parent folder (src)",
            "Allow until restart",
            "Allow for 5 minutes",
            "Yes, for 1 hour",
            "Yes, for this project",
            "Yes, this project",
            "Yes to all",
            "Yes, all",
            "Yes, and bypass permissions",
            "Yes, allow edits in this folder",
            "Allow npm *",
            "Allow this kind of command",
            "Accept for everyone",
            "Allow system-wide",
            "OK, don't ask again",
            "Continue without asking",
            "Yes, without confirmation next time",
            "Allow in all sessions",
            "Yes, beyond this session",
            "Ja, immer",
            "はい、常に",
        ];
        let nothing = [
            "Don't ask again",
            "Do not ask again",
            "Never ask again",
            "Stop asking",
            "Always ask",
            "Yes, but ask every time",
            "Allow, but ask me next time",
            "Accept without remembering",
            "Overwrite all",
            "Overwrite local changes",
            "Delete it",
            "Delete the files",
            "Remove",
            "Discard",
            "Yes, the rest too",
            "Yes, 1 year",
            "Yes, 3 times",
            "Yes, both",
            "Yes, disable the sandbox",
            "Yes, with --force",
            "No problem, go ahead",
            "No limits",
            "No sandbox",
            "No backup, just delete",
            "No, go ahead",
            "Deny and block the sender",
            "Delete all files",
            "Skip all",
            "Apply for this file",
            "Yes, delete all files",
            "Don't deny",
            "Do not reject",
            "Never refuse it",
            "Not denied",
            "Don't cancel",
            "Not now",
            "Later",
            "Always deny",
            "Deny all",
            "Reject for this session",
            "No, and don't ask again",
            "No to all",
            "No, all of them",
            "Never for this session",
        ];
        let once = [
            "Yes, just this once",
            "Allow this time only",
            "Allow only for this time",
            "Yes, continue anyway",
            "Trust folder",
            "Install",
            "Yes, create the project",
            "Yes, run",
            "Yes (y)",
            "Allow [default]",
            "Yes, this is OK (default)",
            "Sure, go ahead.",
            "Approve this change",
            "Yes, and manually approve edits",
            "OK, run it",
        ];
        let cases = always.map(|label| (label, Some(AllowAlways))).into_iter();
        let cases = cases.chain(nothing.map(|label| (label, None)));
        for (label, meaning) in cases.chain(once.map(|label| (label, Some(AllowOnce)))) {
            assert_eq!(meaning_of(label), meaning, "{label}");
            let lasts = meaning == Some(AllowAlways);
            assert!(goes_beyond_once(label) || !lasts, "{label}");
            assert!(!goes_beyond_once(label) || meaning != Some(AllowOnce), "{label}");
        }
    }

    #[test]
    fn labels_with_unknown_words_neither_allow_nor_go_on() {
        for label in ["Continue", "OK", "Okay, go on", "Got it", "Continue anyway", "Go ahead"] {
            assert_eq!(meaning_of(label), Some(Meaning::Continue), "{label}");
        }
        for label in [
            "OK, delete",
            "OK to erase",
            "Continue and overwrite",
            "Continue (data loss)",
            "Continue for all",
            "Continue without it",
            "Allow and delete",
            "Always delete",
            "Yes, and always overwrite",
            "Apply and delete",
            "Proceed with deletion",
            "Confirm deletion",
            "Accept incoming (discard mine)",
            "Allow list reset",
            "Yes, wipe the disk",
            "Sure, nuke it",
            "Yes (x10)",
            "Yes, ×3",
            "Yes, 2",
            "Yes, thrice",
            "Yes, hourly",
            "Yes, daily",
            "Yes to this and the following",
            "Yes, unattended",
            "Yes, throughout",
            "Yes*",
            "Yes/No",
            "Run `rm`",
            "Run /bin/rm",
            "OK, later",
            "Skip",
            "Keep mine",
            "Close",
            "Default",
            "Done",
            "Next",
            "Next time",
        ] {
            assert_eq!(meaning_of(label), None, "{label}");
        }
    }

    #[test]
    fn labels_with_unknown_words_neither_refuse_nor_cancel() {
        use Meaning::{Cancel, Deny, DenyAndSay};
        for (meaning, labels) in [
            (
                Deny,
                [
                    "No, thanks",
                    "No, exit",
                    "No, cancel",
                    "No (esc)",
                    "Deny",
                    "Don't allow",
                    "Don\u{2019}t trust",
                    "No, don't run it",
                    "Deny this time",
                    "No, keep planning",
                ]
                .as_slice(),
            ),
            (DenyAndSay, &["No, and tell Claude what to do differently (esc)", "Reject and explain why"]),
            (Cancel, &["Cancel", "Quit", "Exit", "Abort", "Back", "Go back", "Esc", "< Cancel >", "[Quit]"]),
        ] {
            for label in labels {
                assert_eq!(meaning_of(label), Some(meaning), "{label}");
            }
        }
        for label in [
            "No — keep going",
            "No-verify push",
            "No-op off, apply now",
            "No thanks needed, run it",
            "Never mind the tests, deploy",
            "No: purge",
            "No way back: wipe",
            "No changes will be kept",
            "No, delete it",
            "No, don't stop",
            "No exit",
            "Don't keep",
            "Don't back up",
            "Don't stop",
            "Decline and uninstall",
            "Deny, then delete folder",
            "Deny and delete the key",
            "No, and tell everybody",
            "Cancel order",
            "Cancel the subscription",
            "Quit and discard",
            "Exit without saving",
            "Abort transaction and drop data",
            "Stop all services",
            "Leave the cluster",
            "Back up",
            "Copy remote",
            "c",
            "q",
            "y",
            "n",
        ] {
            assert_eq!(meaning_of(label), None, "{label}");
        }
    }

    #[test]
    fn words_of_a_choice_are_known_also_without_a_meaning() {
        for label in ["Not now", "Don't ask again", "Don't deny", "Skip all", "Yes", "Abort"] {
            assert!(is_choice(label), "{label}");
        }
        assert!(!is_choice("Red") && !is_choice("Choose all of them"));
    }
}
