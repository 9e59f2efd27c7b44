//! The lines at the bottom of a terminal that are drawn again and again, and text that scrolls away above them.

use crate::output;

/// What stands at the bottom of standard error's terminal now.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    drawn: usize,
}

impl Screen {
    /// Replaces the lines at the bottom, and puts `above` over them, in one write.
    pub(crate) fn draw(&mut self, above: &str, lines: &[String]) {
        if above.is_empty() && lines.is_empty() && self.drawn == 0 {
            return;
        }
        let (movement, text) = self.update(above, lines);
        output::draw(&movement, &text);
    }

    /// The way back to the first of our lines, and what follows there.
    fn update(&mut self, above: &str, lines: &[String]) -> (String, String) {
        // Everything from our first line on is ours to erase (ECMA-48 CUU, ED).
        let movement = if self.drawn > 0 { format!("\r\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
        let mut text = above.to_owned();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = lines.len();
        (movement, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_replaces_the_last_one() {
        let mut screen = Screen::default();
        let mut update = |above: &str, lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            screen.update(above, &lines)
        };
        assert_eq!(update("", &["a", "b"]), (String::new(), "a\nb\n".into()));
        assert_eq!(update("x\n", &["c"]), ("\r\x1b[2A\x1b[J".into(), "x\nc\n".into()));
        assert_eq!(update("end\n", &[]), ("\r\x1b[1A\x1b[J".into(), "end\n".into()));
        assert_eq!(update("", &[]), (String::new(), String::new()));
    }
}
