//! The device of the Matrix account: how it stands, and what is compared with others.

use std::fmt::Write as _;

use cis_core::api::{MatrixStandingView, VerificationView};

use crate::output::clean::clean;
use crate::output::style::{ATTENTION, BOLD, DIM};

/// A key in groups of four, as people compare it.
fn grouped(key: &str) -> String {
    let characters: Vec<char> = key.chars().collect();
    let groups: Vec<String> = characters.chunks(4).map(|four| four.iter().collect()).collect();
    groups.join(" ")
}

/// `cis matrix verify`.
pub(crate) fn standing(view: &MatrixStandingView) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#}, device {}\n", clean(&view.user_id), clean(&view.device_id));
    let mut line = |name: &str, fine: bool, value: &str| {
        let _ = if fine {
            writeln!(text, "  {DIM}{name:<10}{DIM:#} {value}")
        } else {
            writeln!(text, "  {DIM}{name:<10}{DIM:#} {ATTENTION}{value}{ATTENTION:#}")
        };
    };
    line("device key", true, &grouped(&clean(&view.device_key)));
    let signed = match (view.identity, view.signed) {
        (_, true) => "yes, by its account (cross-signing)",
        (true, false) => "no: the account has not signed this device",
        (false, false) => "no: the account has no identity (cross-signing is not set up)",
    };
    line("signed", view.signed, signed);
    let recovery = if view.recovery { "a recovery key is set up" } else { "no recovery key" };
    line("recovery", view.recovery, recovery);
    let backup = match (view.backup, view.backs_up) {
        (_, true) => "room keys are backed up",
        (true, false) => "there is one, which this device does not use",
        (false, false) => "none",
    };
    line("backup", view.backs_up, backup);
    for next in &view.next {
        let _ = writeln!(text, "{}", clean(next));
    }
    text
}

/// What both sides see.
pub(crate) fn emoji(view: &VerificationView) -> String {
    let device = view.device_id.as_deref().map(|id| format!(", device {}", clean(id))).unwrap_or_default();
    let mut text = format!("Compare with {BOLD}{}{BOLD:#}{device}:\n\n", clean(&view.user_id));
    for one in &view.emoji {
        let _ = writeln!(text, "  {}  {}", clean(&one.symbol), clean(&one.name));
    }
    if let Some([a, b, c]) = view.numbers {
        let as_numbers = if view.emoji.is_empty() { "" } else { "as numbers: " };
        let _ = writeln!(text, "\n  {DIM}{as_numbers}{a} {b} {c}{DIM:#}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> MatrixStandingView {
        MatrixStandingView {
            user_id: "@cis:example.org".to_owned(),
            device_id: "ABC".to_owned(),
            device_key: "q5aYrX9Ufp2MOWRoD8ZA9kYqWmXqh1pU8Q9yQBkC3p4".to_owned(),
            identity: true,
            signed: true,
            may_sign: true,
            recovery: true,
            backup: true,
            backs_up: true,
            next: Vec::new(),
        }
    }

    fn shown(view: &MatrixStandingView) -> String {
        anstream::adapter::strip_str(&standing(view)).to_string()
    }

    #[test]
    fn what_is_fine_is_shown_without_advice() {
        insta::assert_snapshot!(shown(&view()), @r"
        @cis:example.org, device ABC
          device key q5aY rX9U fp2M OWRo D8ZA 9kYq WmXq h1pU 8Q9y QBkC 3p4
          signed     yes, by its account (cross-signing)
          recovery   a recovery key is set up
          backup     room keys are backed up
        ");
    }

    #[test]
    fn what_is_missing_is_marked_and_what_to_do_comes_last() {
        let unsigned = MatrixStandingView {
            signed: false,
            may_sign: false,
            recovery: false,
            backs_up: false,
            next: vec!["Do this.".to_owned()],
            ..view()
        };
        insta::assert_snapshot!(shown(&unsigned), @r"
        @cis:example.org, device ABC
          device key q5aY rX9U fp2M OWRo D8ZA 9kYq WmXq h1pU 8Q9y QBkC 3p4
          signed     no: the account has not signed this device
          recovery   no recovery key
          backup     there is one, which this device does not use
        Do this.
        ");
    }
}
