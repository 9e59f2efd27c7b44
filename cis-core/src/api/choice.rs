//! What words mean to an item of the inbox: one of its options, or an answer of their own.
//!
//! Owns the one rule for every way on which an answer comes: the command line, a room, the API, the default of a file.
//! Who may answer, and what is typed then, is the node's matter.

use super::InboxItem;
use crate::event::{Meaning, PromptOption};
use crate::monitor::{allows, goes_beyond_once, meaning_of, shows_other_numbers};

/// Why words name no option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotChosen<'a> {
    /// The item offers no options.
    NoOptions,
    /// They name none of the options.
    Unknown,
    /// They fit several of them.
    Several(Vec<&'a PromptOption>),
}

/// How closely words have to name an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closeness {
    /// By id, number, whole label or meaning.
    Exact,
    /// Also by `yes` and `no`, and by the beginning of a label.
    Near,
}

/// Begins words that name an option by its id alone.
const ID: &str = "id:";

/// What a yes may mean.
const YES: &[Meaning] = &[Meaning::AllowOnce];

/// What a no may mean.
const NO: &[Meaning] = &[Meaning::Deny, Meaning::DenyAndSay, Meaning::Cancel];

/// Whether the option at that place is meant.
type Fits<'a> = dyn Fn(usize, &PromptOption) -> bool + 'a;

impl InboxItem {
    /// Whether words that name no option are an answer. A session that offers options wants one of them; a program in a
    /// terminal may take other words, which are typed only where somebody says that they are meant as they are.
    #[must_use]
    pub fn takes_text(&self) -> bool {
        self.options.is_empty() || (self.ask_type.is_none() && self.session.is_some())
    }

    /// The option that these words name.
    ///
    /// # Errors
    /// [`NotChosen`]: none, or several.
    pub fn option_named(&self, words: &str, closeness: Closeness) -> Result<&PromptOption, NotChosen<'_>> {
        if self.options.is_empty() {
            return Err(NotChosen::NoOptions);
        }
        let words = words.trim();
        if let Some(id) = words.strip_prefix(ID).map(str::trim) {
            return self.only(&|_, option| option.id == id)?.ok_or(NotChosen::Unknown);
        }
        let lower = words.to_lowercase();
        let number = words.strip_suffix(['.', ')']).unwrap_or(words).parse::<usize>().ok();
        let numbers = option_numbers(&self.options);
        let meaning = Meaning::parse(&lower.replace(['-', ' '], "_"));
        let ways: [&Fits<'_>; 4] = [
            // A number may be the id of one and the label of another: neither is taken for the other in silence.
            &|_, option| option.id == words || option.label == words,
            &|_, option| option.label.to_lowercase() == lower,
            &|at, _| number.is_some() && numbers[at] == number,
            &|_, option| meaning.is_some() && option.meaning == meaning,
        ];
        for way in ways {
            if let Some(option) = self.only(way)? {
                return Ok(option);
            }
        }
        if closeness == Closeness::Exact {
            return Err(NotChosen::Unknown);
        }
        let plain = match lower.as_str() {
            "yes" | "y" | "ok" | "allow" | "approve" => Some((self.yes(), YES)),
            "no" | "n" | "deny" | "reject" => Some((self.no(), NO)),
            _ => None,
        };
        if let Some((Some(option), _)) = plain {
            return Ok(option);
        }
        // A number that no option has is not the beginning of a label, and what means something to cancel or to go on is not the
        // beginning of an option that does something else: `Cancel the subscription`.
        let says = plain.is_none() && (meaning.is_some() || meaning_of(words).is_some());
        let is_word = !lower.is_empty() && number.is_none() && !says;
        let begins = self.only(&|_, option| is_word && option.label.to_lowercase().starts_with(&lower))?;
        // A plain yes never means "from now on" or "all of them", however that option begins, nor "Yesterday's".
        let means = |option: &PromptOption, wanted: &[Meaning]| {
            !lasts(option) && meaning_of(&option.label).is_some_and(|meaning| wanted.contains(&meaning))
        };
        let fits = |option: &&PromptOption| plain.is_none_or(|(_, wanted)| means(option, wanted));
        begins.filter(fits).ok_or(NotChosen::Unknown)
    }

    /// The option of that number, as people see it.
    #[must_use]
    pub fn option_number(&self, number: usize) -> Option<&PromptOption> {
        let at = option_numbers(&self.options).iter().position(|known| *known == Some(number))?;
        self.options.get(at)
    }

    /// The option that a plain yes means. It never allows something for longer than once. An option that goes on agrees only if
    /// no other option allows more.
    #[must_use]
    pub fn yes(&self) -> Option<&PromptOption> {
        let offers = |meaning| self.options.iter().any(|option| option.meaning == Some(meaning));
        if offers(Meaning::AllowOnce) {
            // An action beside other ones is a choice, however plain its words are.
            let refuses = |option: &PromptOption| option.meaning.is_some_and(|meaning| NO.contains(&meaning));
            let is_plain = |chosen: &&PromptOption| {
                allows(&chosen.label)
                    || self.options.iter().all(|one| one == *chosen || refuses(one) || lasts(one))
            };
            return self.meaning(YES).filter(is_plain);
        }
        self.meaning(&[Meaning::Continue]).filter(|_| !self.options.iter().any(lasts))
    }

    /// The option that a plain no means. An option that cancels refuses only if another one agrees.
    #[must_use]
    pub fn no(&self) -> Option<&PromptOption> {
        let asks =
            self.options.iter().any(|option| option.meaning.is_some_and(|meaning| !NO.contains(&meaning)));
        self.meaning(NO).filter(|option| asks || option.meaning != Some(Meaning::Cancel))
    }

    /// The only option of the first of these meanings that there is.
    fn meaning(&self, meanings: &[Meaning]) -> Option<&PromptOption> {
        meanings.iter().find_map(|wanted| {
            let mut fits = self.options.iter().filter(|option| option.meaning == Some(*wanted));
            match (fits.next(), fits.next()) {
                (Some(option), None) => Some(option),
                _ => None,
            }
        })
    }

    /// The only option that fits; none: none does.
    fn only(&self, fits: &Fits<'_>) -> Result<Option<&PromptOption>, NotChosen<'_>> {
        let fitting = self.options.iter().enumerate().filter(|(at, option)| fits(*at, option));
        let fitting: Vec<&PromptOption> = fitting.map(|(_, option)| option).collect();
        match fitting.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            _ => Err(NotChosen::Several(fitting)),
        }
    }
}

/// Whether an option is for longer than once, or for more than what is asked about.
#[must_use]
pub fn lasts(option: &PromptOption) -> bool {
    let meaning = matches!(option.meaning, Some(Meaning::AllowSession | Meaning::AllowAlways));
    meaning || goes_beyond_once(&option.label)
}

/// The number that people use for each option: its own, where the options have numbers; its place, where none has. Where
/// only some have, those alone: a number never means two options.
#[must_use]
pub fn option_numbers(options: &[PromptOption]) -> Vec<Option<usize>> {
    shown_numbers(options).unwrap_or_else(|| (1..=options.len()).map(Some).collect())
}

/// The numbers that the rows of options show. `None`: no row shows one, and the list may go on outside of what is seen.
fn shown_numbers(options: &[PromptOption]) -> Option<Vec<Option<usize>>> {
    let digits = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    if options.iter().any(|option| digits(&option.id)) {
        let own_number = |id: &str| id.parse().ok().filter(|_| digits(id) && !id.starts_with('0'));
        return Some(options.iter().map(|option| own_number(&option.id)).collect());
    }
    let shown = |option: &PromptOption| {
        let digits = option.label.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = option.label.split_at(digits);
        number.parse::<usize>().ok().filter(|_| rest.starts_with(". ") || rest.starts_with(") "))
    };
    if options.iter().any(|option| shown(option).is_some()) {
        return Some(options.iter().map(shown).collect());
    }
    let others = shows_other_numbers(options.iter().map(|option| option.label.as_str()));
    others.then(|| vec![None; options.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AskType;
    use crate::testing::question;

    fn item(options: &[(&str, &str, Option<Meaning>)]) -> InboxItem {
        let without_keys = |(id, label, meaning): &(_, _, _)| (*id, *label, *meaning, "");
        question(&options.iter().map(without_keys).collect::<Vec<_>>())
    }

    fn near(item: &InboxItem, words: &str) -> Option<String> {
        item.option_named(words, Closeness::Near).ok().map(|option| option.id.clone())
    }

    #[test]
    fn only_a_question_without_options_or_a_terminal_takes_other_words() {
        let mut asked = item(&[("1", "red", None), ("2", "blue", None)]);
        assert!(asked.takes_text(), "a terminal's");
        asked.ask_type = Some(AskType::Clarification);
        assert!(!asked.takes_text());
        asked.options.clear();
        assert!(asked.takes_text());
        let mut approval = item(&[("approve", "Approve", None)]);
        approval.session = None;
        assert!(!approval.takes_text());
    }

    #[test]
    fn a_plain_yes_never_means_from_now_on() {
        let always = item(&[
            ("a", "Yes, and don't ask again", Some(Meaning::AllowAlways)),
            ("n", "No", Some(Meaning::Deny)),
        ]);
        assert_eq!((near(&always, "yes"), near(&always, "y")), (None, None));
        assert_eq!(near(&always, "yes, and"), Some("a".to_owned()), "whoever says more means it");
        assert_eq!(near(&always, "no"), Some("n".to_owned()));
        for label in
            ["Yes, always", "Yes, for this project", "Yes, delete all of them", "Yes, don't ask again"]
        {
            let asked = item(&[("a", label, None), ("n", "No", None)]);
            assert_eq!(
                (near(&asked, "yes"), near(&asked, "y"), near(&asked, "ok")),
                (None, None, None),
                "{label}"
            );
            assert_eq!(near(&asked, &label[..6]), Some("a".to_owned()), "{label}");
        }
        let plain = item(&[("a", "Yes please", None), ("b", "No thanks", None)]);
        assert_eq!((near(&plain, "yes"), near(&plain, "n")), (Some("a".to_owned()), Some("b".to_owned())));
    }

    /// Options with the meanings that the monitor gives their words.
    fn menu(labels: &[&str]) -> InboxItem {
        let ids: Vec<String> = (1..=labels.len()).map(|number| number.to_string()).collect();
        let options: Vec<_> =
            ids.iter().zip(labels).map(|(id, label)| (id.as_str(), *label, meaning_of(label))).collect();
        item(&options)
    }

    #[test]
    fn a_plain_yes_or_no_chooses_no_option_that_does_something_else() {
        for labels in [
            ["Yes to all", "No to all", "Skip"].as_slice(),
            &["Retry always", "Skip", "Abort"],
            &["Delete all", "Keep", "Cancel"],
            &["Keep it", "Delete it"],
            &["Keep", "Delete", "Cancel"],
            &["Stash", "Overwrite local changes", "Cancel"],
            &["Keep", "Install", "Quit"],
            &["Yesterday's backup", "Cancel"],
            &["Always use theirs", "Keep mine", "Abort"],
            &["Disable always", "Enable once", "Keep"],
            &["Later", "Close"],
            &["Default", "Cancel"],
            &["Done", "Cancel"],
            &["Yes, and don't ask again", "Continue", "Cancel"],
            &["Continue without saving", "Cancel"],
        ] {
            let asked = menu(labels);
            for words in ["yes", "y", "allow", "approve"] {
                assert_eq!(near(&asked, words), None, "{labels:?}: {words}");
            }
            assert_eq!(asked.yes(), None, "{labels:?}");
        }
        for labels in [["Continue", "Cancel"], ["OK", "Cancel"], ["Continue", "Abort"]] {
            assert_eq!(near(&menu(&labels), "yes"), Some("1".to_owned()), "{labels:?}");
        }
        for labels in [
            ["Yes to all", "No to all", "Skip"].as_slice(),
            &["Yes", "No to all"],
            &["Notify and go on", "Go on"],
            &["No limits", "Some limits"],
        ] {
            let asked = menu(labels);
            assert_eq!((near(&asked, "no"), near(&asked, "n"), asked.no()), (None, None, None), "{labels:?}");
        }
        assert_eq!(near(&menu(&["Yes", "No", "No to all"]), "no"), Some("2".to_owned()));
    }

    #[test]
    fn a_number_names_the_option_that_shows_it_and_no_other() {
        let from_0 = item(&[("0", "Keep", None), ("1", "Drop", None), ("7", "3 days", None)]);
        for (words, id) in [("0", Some("0")), ("1", Some("1")), ("1.", Some("1")), ("2", None), ("3", None)] {
            assert_eq!(near(&from_0, words).as_deref(), id, "{words}");
        }
    }

    #[test]
    fn a_number_that_two_rows_show_names_neither() {
        let mixed =
            item(&[("3) Keep", "3) Keep", None), ("Drop", "Drop", None), ("5) Hold", "5) Hold", None)]);
        for (words, id) in
            [("3", Some("3) Keep")), ("5", Some("5) Hold")), ("1", None), ("2", None), ("drop", Some("Drop"))]
        {
            assert_eq!(near(&mixed, words).as_deref(), id, "{words}");
        }
        let twice = item(&[("2. Keep", "2. Keep", None), ("2. Drop", "2. Drop", None)]);
        assert!(matches!(twice.option_named("2", Closeness::Near), Err(NotChosen::Several(_))));
    }

    #[test]
    fn a_number_means_no_place_where_rows_show_other_numbers() {
        for labels in [
            ["Keep", "#3 Drop", "#2 Hold"],
            ["② Keep", "① Drop", "③ Hold"],
            ["2 files", "1 file", "none"],
            ["Option 2: keep", "Option 1: drop", "Option 3: hold"],
            ["Keep", "Drop", "[2] Hold"],
        ] {
            let asked = item(&labels.map(|label| (label, label, None)));
            for number in ["1", "2", "3"] {
                assert_eq!(near(&asked, number), None, "{labels:?}: {number}");
            }
        }
        let counted = ["① Keep", "② Drop", "3 Hold"].map(|label| (label, label, None));
        assert_eq!(near(&item(&counted), "2").as_deref(), Some("② Drop"));
    }

    #[test]
    fn a_word_with_a_meaning_is_not_the_beginning_of_something_else() {
        for (labels, words) in [
            (["Cancel the subscription", "Keep it"], "cancel"),
            (["Continue and overwrite", "Stop"], "continue"),
            (["Quit and discard", "Stay"], "quit"),
        ] {
            assert_eq!(near(&menu(&labels), words), None, "{words}");
            assert_eq!(near(&menu(&labels), &labels[0].to_lowercase()).as_deref(), Some("1"), "{words}");
        }
        assert_eq!(near(&menu(&["Keep it", "Drop it"]), "drop").as_deref(), Some("2"));
    }

    #[test]
    fn a_plain_no_cancels_only_where_another_option_agrees() {
        assert_eq!(near(&menu(&["next", "yank", "quit"]), "no"), None);
        assert_eq!(near(&menu(&["next", "yank", "quit"]), "yes"), None);
        assert_eq!(near(&menu(&["Install", "Cancel"]), "no"), Some("2".to_owned()));
    }

    #[test]
    fn exactly_is_by_id_number_label_or_meaning_alone() {
        let menu = item(&[("y", "Go on", Some(Meaning::Continue)), ("n", "Stop it", Some(Meaning::Cancel))]);
        let exact = |words| menu.option_named(words, Closeness::Exact).ok().map(|option| option.id.as_str());
        for (words, id) in [("y", "y"), ("go ON", "y"), ("2)", "n"), ("cancel", "n"), ("id: n", "n")] {
            assert_eq!(exact(words), Some(id), "{words}");
        }
        for words in ["yes", "stop", "", "3", "id:stop"] {
            assert_eq!(exact(words), None, "{words}");
        }
        assert_eq!(near(&menu, "stop"), Some("n".to_owned()));
        assert_eq!(item(&[]).option_named("y", Closeness::Near), Err(NotChosen::NoOptions));
    }
}
