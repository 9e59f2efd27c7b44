//! Tells the echo of what was typed from what it caused.

/// Where output begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// All that came so far may be part of the echo.
    Incomplete,
    /// The echo, with the line break after it, ends at this byte.
    EndsAt(usize),
    /// What came does not begin with an echo.
    None,
}

/// Looks for the echo of `typed` at the beginning of `came`. White space does not count: line editors
/// wrap what they echo at the width of the terminal.
pub(super) fn after_echo(came: &str, typed: &str) -> Echo {
    let mut wanted = typed.chars().filter(|c| !c.is_whitespace());
    let mut next = wanted.next();
    for (at, c) in came.char_indices() {
        let Some(expected) = next else {
            return match c {
                '\n' => Echo::EndsAt(at + 1),
                c if c.is_whitespace() => continue,
                _ => Echo::EndsAt(at),
            };
        };
        if c.is_whitespace() {
            continue;
        }
        if c != expected {
            return Echo::None;
        }
        next = wanted.next();
    }
    Echo::Incomplete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_ends_where_output_begins() {
        assert_eq!(after_echo("echo DONE\r\nDONE\r\n", "echo DONE"), Echo::EndsAt(11));
        assert_eq!(after_echo("echo long \r te\nxt\nout", "echo long text"), Echo::EndsAt(18));
        assert_eq!(after_echo("yes", "y"), Echo::EndsAt(1));
        assert_eq!(after_echo("\r\nnext", ""), Echo::EndsAt(2));
    }

    #[test]
    fn part_of_an_echo_is_no_output() {
        for came in ["", "echo", "echo DO", "echo DONE", "echo DONE\r"] {
            assert_eq!(after_echo(came, "echo DONE"), Echo::Incomplete, "{came:?}");
        }
    }

    #[test]
    fn a_program_that_does_not_echo_is_heard_at_once() {
        assert_eq!(after_echo("Welcome", "secret"), Echo::None);
    }
}
