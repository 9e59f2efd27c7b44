//! Letters that a prompt offers in other forms than `[y/N]` and `(Y)es/(N)o`: beside their words, run together, or
//! with their words in rows above.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use super::rows::unboxed;

static BEHIND: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?P<label>\pL[\pL'’-]*(?: \pL[\pL'’-]*){0,3})\s?[(\[](?P<key>\pL{1,2})[)\]]"));
static BEFORE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[(\[](?P<key>\pL{1,2})[)\]]\s(?P<label>\pL[\pL'’-]*(?: \pL[\pL'’-]*){0,3})"));
static KEYED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[(\[]((?:C-)?\pL\s?[:=]\s?\pL[\pL'’]*(?:[ ,/|]+(?:C-)?\pL\s?[:=]\s?\pL[\pL'’]*)+)(?:[)\]]|[ ,/|]+[^\[\]()]{0,8}$)",
    )
});
static PAIR: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[ ,/|])(?P<key>\pL)\s?[:=]\s?(?P<label>\pL[\pL'’]*)"));
static KEY_FIRST: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?P<key>\pL) [(](?P<label>\pL+)[)]"));
static RUN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[(\[](?P<run>[a-zA-Z?]{2,14})(?:\.\.\.)?[)\]](?:,[^\[\](),]{0,40})?\s*[:?>]?\s*$")
});
static SLASHED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?P<list>[\pL\d?](?:/[\pL\d?]){1,11})\s?>$"));
static ROW: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:(?P<key>[\pL\d]{1,2})[.)]|\[(?P<boxed>[\pL\d]{1,2})\]|(?P<dashed>\d{1,2}) -)\s+(?P<label>\S.*)$",
    )
});

/// Keys and their words, as they stand in the line; none where it is in none of these forms.
pub(super) fn beside(line: &str) -> Vec<(String, String)> {
    let plain = [&*BEHIND, &*BEFORE].into_iter().find_map(|form| pairs(form, line, begins_a_word));
    if let Some(pairs) = plain {
        return pairs;
    }
    keyed(line).or_else(|| key_first(line)).or_else(|| run_together(line)).unwrap_or_default()
}

/// `(y:Yes n:No)`, `(y=yes, n=no)`, also where the terminal is too narrow for the last one.
fn keyed(line: &str) -> Option<Vec<(String, String)>> {
    let list = KEYED.captures(line)?.get(1)?.as_str();
    pairs(&PAIR, list, |_, _| true)
}

fn begins_a_word(key: &str, label: &str) -> bool {
    let (key, label) = (key.to_lowercase(), label.to_lowercase());
    let words: Vec<&str> = label.split_whitespace().collect();
    let initials: String = words.iter().filter_map(|word| word.chars().next()).collect();
    initials.contains(&key) || words.iter().any(|word| word.starts_with(&key))
}

/// `y (yes) or n (no)`.
fn key_first(line: &str) -> Option<Vec<(String, String)>> {
    pairs(&KEY_FIRST, line, |key, label| label.starts_with(key))
}

/// Two keys and more with their words, in a form that names both, where they fit.
fn pairs(form: &Regex, text: &str, fit: impl Fn(&str, &str) -> bool) -> Option<Vec<(String, String)>> {
    let all = form.captures_iter(text).map(|found| (found["key"].to_owned(), found["label"].to_owned()));
    let pairs: Vec<(String, String)> = all.filter(|(key, label)| fit(key, label)).collect();
    (pairs.len() >= 2).then_some(pairs)
}

/// `[Ynaq?]`, `(aArRsSq)`, `a/b/c>`: each a key of its own.
fn run_together(line: &str) -> Option<Vec<(String, String)>> {
    let run = RUN.captures(line);
    let is_slashed = run.is_none();
    let keys: Vec<String> = match run {
        Some(found) => found["run"].chars().map(String::from).collect(),
        None => SLASHED.captures(line.trim())?["list"].split('/').map(str::to_owned).collect(),
    };
    let unlike = keys.iter().enumerate().all(|(place, key)| !keys[..place].contains(key));
    let small: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
    let yes_no = small.first().is_some_and(|key| key == "y") && small.get(1).is_some_and(|key| key == "n");
    let twice = small.iter().enumerate().filter(|(place, key)| small[..*place].contains(key)).count();
    let counts = yes_no || twice >= 2 || is_slashed;
    (unlike && counts).then(|| keys.into_iter().map(|key| (key.clone(), key)).collect())
}

/// What single keys mean by the rows above that name them (`s) Skip`, `[2] Both`, `1 - MIT`).
pub(in crate::monitor) fn named_above(rows: &[&str], key: &str) -> Option<String> {
    rows.iter().rev().find_map(|row| {
        let found = ROW.captures(unboxed(row))?;
        let named = found.name("key").or(found.name("boxed")).or(found.name("dashed"))?;
        (named.as_str() == key).then(|| found["label"].trim_end().to_owned())
    })
}

/// A list of two numbers at the beginning says how far one is: `[1/4] Name: `.
pub(super) fn is_step(line: &str, at: usize, words: &[&str]) -> bool {
    let numbers = words.len() == 2 && words.iter().all(|word| word.chars().all(|c| c.is_ascii_digit()));
    numbers && unboxed(&line[..at]).trim_matches([' ', '(', '[']).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        beside(line).iter().map(|(key, label)| format!("{key}={label} ")).collect()
    }

    #[test]
    fn letters_beside_their_words() {
        assert_eq!(shown("Retry (r), Abort (a)? "), "r=Retry a=Abort ");
        assert_eq!(shown("Select: (p) Postpone, (df) Show diff, (e) Edit file: "), "p=Postpone e=Edit file ");
        assert_eq!(shown("Really quit (y:Yes n:No)?"), "y=Yes n=No ");
        assert_eq!(shown("Quitter (o : Oui n : Non) ?"), "o=Oui n=Non ");
        assert_eq!(shown("Save modified? (y=yes, n=no, C-c=cancel)"), "y=yes n=no ");
        assert_eq!(shown("enter y (yes) or n (no):"), "y=yes n=no ");
        assert_eq!(shown("You can (as shown) see it in (b)"), "");
        assert_eq!(shown("see Figure (a) and Table (b): "), "");
    }

    #[test]
    fn letters_run_together() {
        assert_eq!(shown("record it? [Ynq?] "), "Y=Y n=n q=q ?=? ");
        assert_eq!(shown("Shall I? (1/2)  [ynW...], or ? for more options: "), "y=y n=n W=W ");
        assert_eq!(shown("s)kip q)uit (aAsSq): "), "a=a A=A s=s S=S q=q ");
        assert_eq!(shown("verify it? [yN]: "), "y=y N=N ");
        assert_eq!(shown("n/s/q> "), "n=n s=s q=q ");
        for text in [
            "Colour [red]: ",
            "in a box [any]: ",
            "Licence (MIT): ",
            "path a/b/c> ",
            "Usage: [help]",
            "[tool][main] > ",
        ] {
            assert_eq!(shown(text), "", "{text}");
        }
    }

    #[test]
    fn words_in_rows_above() {
        let rows = ["n) New remote", "q) Quit", "[2] Both of them", "3 - GPL"];
        let named = |key| named_above(&rows, key);
        assert_eq!(named("q").as_deref(), Some("Quit"));
        assert_eq!(named("2").as_deref(), Some("Both of them"));
        assert_eq!(named("3").as_deref(), Some("GPL"));
        assert_eq!(named("x"), None);
    }
}
