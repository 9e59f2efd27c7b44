//! What an option means, by its words.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use crate::event::Meaning;

/// Words that agree, in some languages.
const YES: &str = "yes|y|ja|oui|sí|si|sim|tak|да|はい|是|예|네|evet|kyllä|sure";
/// Verbs of a permission.
const ALLOWS: &str = "allow|approve|accept|trust|grant|permit|authori[sz]e";
/// Other words by which an option begins that does something.
const DOES: &str = "ok,? run|run|proceed|confirm|install|apply";
/// Verbs by which something is lost: where they stand beside others, they are a choice and no agreement.
const DESTROYS: &str = "overwrite|delete|remove|discard|erase|drop|reset|wipe|purge|replace|kill|revert";
/// More than what is asked about, or something else, behind a word that agrees.
const MORE: &str = r"\b(?:rest|both|too|also|as well|others?|more|times|twice|years?|forc\w*|disabl\w*|turn(?:ing)? off|sandbox|unsafe\w*|danger\w*|sudo|root|block|ban|report)\b|(?:^|\s)--?\w|\b\d+ ?\pL";
/// Words by which an option begins that allows nothing and goes on.
const GOES_ON: &str = "continue|skip|next|ok|okay|close|default|keep|done|got it";
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

/// Finds out what a label means: the first that fits. Without a meaning: words that everybody knows as a choice, and that must not
/// be taken for another one.
static RULES: LazyLock<Vec<(Regex, Option<Meaning>)>> = LazyLock::new(|| {
    use Meaning::{AllowAlways, AllowOnce, AllowSession, Cancel, Continue, Deny, DenyAndSay};
    let heads = format!("{YES}|{ALLOWS}|{DOES}|{DESTROYS}|{GOES_ON}");
    let scope = format!(
        r"(?:for|in|within|across|under|from|on|at) (?:(?:this|that|these|the|my|your|one|an?|next|\d+) ?)*{SCOPE}"
    );
    let span = r"for (?:(?:the|an?|one|next|\d+) ?)+(?:h|hrs?|m|mins?|s|hours?|minutes?|seconds?|days?|weeks?|months?|years?)";
    [
        // Alone, it says nothing of what is done this time.
        (format!("^{NOT} (?:ask|prompt|show|remind)"), None),
        (r"^always (?:ask|prompt|confirm)".to_owned(), None),
        (r"^(?:not (?:now|yet)|later|maybe)\b".to_owned(), None),
        (
            format!(r"\b{NOT} (?:deny|den(?:ied|ying)|reject|refus|disallow|forbid|declin|block|cancel|abort)"),
            None,
        ),
        (
            r"^(no|n|reject|deny|decline|refuse|don'?t)\b.*\b(tell|suggest|chang|differently|explain|feedback|instead|say|edit)".to_owned(),
            Some(DenyAndSay),
        ),
        (r"\b(deny|denied|reject|refuse|disallow|forbid)\b".to_owned(), Some(Deny)),
        // It denies for good.
        (format!(r"^never$|^never (?:{ALLOWS}|run)\b|^(?:{ALLOWS}|run) never\b"), None),
        (r"^(allow|approve|accept|trust|run|grant) (nothing|none|no)\b".to_owned(), Some(Deny)),
        (r"^no (?:thanks|thank you|way|gracias)\b".to_owned(), Some(Deny)),
        // `No limits` agrees, and `No, go ahead` does not deny.
        (r"^no (?:\pL|\d)".to_owned(), None),
        (
            r"^(no|n|nein|non|nee|nej|nie|não|нет|いいえ|否|不|아니오|hayır|ei|decline|never|don'?t|do not|not (allow|approve|accept|run|continue|proceed))\b".to_owned(),
            Some(Deny),
        ),
        (r"^(cancel|abort|quit|exit|back|q|c|esc|leave|dismiss|stop|go back)\b".to_owned(), Some(Cancel)),
        // It asks the next time, or says so of what it keeps.
        (format!(r"\b{NOT} (?:remember|sav|stor|persist)"), None),
        (r"\bask(?:s|ing)?\b(?: me| us)? (?:every|each|always|next|later)\b|\b(?:but|then|and) (?:always )?ask\b".to_owned(), None),
        (
            format!(r"^({YES}|{ALLOWS}|run|proceed|ok|okay|continue)\b.*\b(beyond|after|every|each|any|across|not (just|only))\b.*\bsession\b"),
            Some(AllowAlways),
        ),
        (format!(r"^({YES}|{ALLOWS}|run|always|proceed)\b.*\bsession\b"), Some(AllowSession)),
        (r"^(always|a\b.*always|permanently)".to_owned(), Some(AllowAlways)),
        (format!(r"^({YES}|{ALLOWS}|run|proceed|ok|okay|continue)\b.*(?:{LASTING})"), Some(AllowAlways)),
        (format!(r"^({YES}|{ALLOWS}|run|proceed|ok|okay|continue)\b.*\b(?:{span})\b"), Some(AllowAlways)),
        (format!(r"^(?:({YES})\b.*\b)?({ALLOWS})\b.*(?:{BROAD}|\b{scope}\b)"), Some(AllowAlways)),
        (
            format!(r"^({YES})\W+(?:to |for )?(?:all|any|every\w*|until\b.*|till\b.*|{scope}|(?:(?:this|the|whole|entire) )+{SCOPE})\b"),
            Some(AllowAlways),
        ),
        (r"^all\b".to_owned(), Some(AllowSession)),
        (format!(r"^({heads})\b.*(?:{LASTING}|{VAGUE}|\bsession\b|\b{span}\b)"), None),
        (format!(r"^({YES}|{ALLOWS}|{DOES})\b.*(?:{MORE})"), None),
        (format!(r"^({DESTROYS})\b"), None),
        (format!(r"^({YES}|{ALLOWS}|{DOES}|once)\b"), Some(AllowOnce)),
        (format!(r"^({GOES_ON})\b"), Some(Continue)),
    ]
    .map(|(words, meaning)| (pattern(&words), meaning))
    .into()
});
/// Words for a single case, which are no scope.
static ONCE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b(?:just |only )?(?:for )?(?:just |only )?this (?:time|once|one)\b(?: only)?")
});
/// Labels that agree to go on, and pass nothing over.
static AGREES: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:continue|ok|okay|got it|next|proceed|go (?:on|ahead))\b"));
static ALLOWING: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^(?:{YES}|{ALLOWS}|ok|proceed|confirm|once)\b")));
static PASSES_OVER: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"\b(?:{NOT}|no|skip\w*|later|instead|keep\w*)\b")));
/// Labels that refuse, and do something beside that, or let it be done after all.
static DOES_MORE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\bgo ahead\b|\banyway\b|\b(?:block|ban|report)\b|\bjust (?:delete|do|run|remove|overwrite)\b")
});
static BEYOND: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"{LASTING}|{VAGUE}|\bsession\b")));

/// A label as it is compared: without its brackets and hints for a single case.
fn plain(label: &str) -> String {
    let label = label.trim().trim_matches(['(', ')', '[', ']']).to_lowercase().replace('\u{2019}', "'");
    ONCE.replace_all(&label, "").trim_end().to_owned()
}

/// The meaning of a label, where its words tell.
pub(crate) fn meaning_of(label: &str) -> Option<Meaning> {
    let label = plain(label);
    let meaning = RULES.iter().find(|(words, _)| words.is_match(&label)).and_then(|(_, meaning)| *meaning)?;
    // Who denies a case does not want it denied for good, nor more done than that.
    let is_more = meaning == Meaning::Deny && (BEYOND.is_match(&label) || DOES_MORE.is_match(&label));
    (!is_more).then_some(meaning)
}

/// Whether the words are those of a choice, also where they have no meaning of their own.
pub(in crate::monitor) fn is_choice(label: &str) -> bool {
    let label = plain(label);
    RULES.iter().any(|(words, _)| words.is_match(&label))
}

/// Whether a label that goes on plainly agrees to what is asked. `Skip`, `Keep`, `Close` and `Continue without it` do not.
pub(crate) fn agrees(label: &str) -> bool {
    let label = plain(label);
    AGREES.is_match(&label) && !PASSES_OVER.is_match(&label) && !BEYOND.is_match(&label)
}

/// Whether a label begins with a word that agrees, whatever is asked.
pub(crate) fn allows(label: &str) -> bool {
    ALLOWING.is_match(&plain(label))
}

/// Whether a label says something of a time, a scope or a repetition beyond the case that is asked about.
pub(crate) fn goes_beyond_once(label: &str) -> bool {
    let lasts = matches!(meaning_of(label), Some(Meaning::AllowSession | Meaning::AllowAlways));
    lasts || BEYOND.is_match(&plain(label))
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
            ("Continue without trusting", Some(Continue)),
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
    fn some_words_that_go_on_agree_and_others_do_not() {
        for label in ["Continue", "OK", "Okay, go on", "Got it", "Next", "Continue anyway"] {
            assert!(agrees(label), "{label}");
        }
        for label in [
            "Skip",
            "Keep",
            "Keep mine",
            "Close",
            "Default",
            "Done",
            "Continue without it",
            "OK, later",
            "Next time",
            "Not now",
        ] {
            assert!(!agrees(label), "{label}");
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
