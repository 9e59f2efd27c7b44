//! An SVG of its own: no script, no font, nothing from elsewhere; light or dark as its reader prefers.

use std::fmt::Write as _;

use super::layered::{Place, places};
use super::{Net, TooLarge};
use crate::text::entity;

const WIDTH: f64 = 168.0;
const HEIGHT: f64 = 34.0;
/// From one row to the next.
const ROW: f64 = 48.0;
/// Between two layers.
const GAP: f64 = 56.0;
const MARGIN: f64 = 20.0;
const TITLE: f64 = 34.0;
/// Longer names are cut; the whole one is in the title.
const NAME_CHARS: usize = 20;

/// How a task looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Of a file: it has no state.
    Plain,
    /// Its time has not come.
    Waiting,
    /// It is at work.
    Running,
    /// It succeeded.
    Good,
    /// It ended without success of its own, and without harm.
    Done,
    /// It failed.
    Bad,
    /// Somebody ended it.
    Cancelled,
}

impl Look {
    /// One character that tells it without its colour.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Plain | Self::Waiting => '○',
            Self::Running => '▶',
            Self::Good | Self::Done => '✓',
            Self::Bad => '✗',
            Self::Cancelled => '⊘',
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Waiting => "waits",
            Self::Running => "runs",
            Self::Good => "good",
            Self::Done => "done",
            Self::Bad => "bad",
            Self::Cancelled => "over",
        }
    }
}

/// A task as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn<'a> {
    /// Its name.
    pub name: &'a str,
    /// How it looks.
    pub look: Look,
    /// Shown when somebody points at it.
    pub detail: String,
}

/// The whole document. `tasks` are those of `net`, in their order.
///
/// # Errors
/// There is too much of it.
pub fn svg(net: &Net, title: &str, tasks: &[Drawn<'_>]) -> Result<String, TooLarge> {
    let (places, lines) = places(net)?;
    let right = places.iter().map(|place| left_of(place) + WIDTH).fold(WIDTH, f64::max) + MARGIN;
    let bottom = places.iter().map(|place| middle_of(place) + HEIGHT / 2.0).fold(TITLE, f64::max) + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{bottom:.0}\" \
         viewBox=\"0 0 {right:.0} {bottom:.0}\" role=\"img\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"26\">{0}</text>\n",
        escaped(title)
    );
    for line in &lines {
        let _ = writeln!(out, "<path class=\"line\" d=\"{}\"/>", path(line, &places));
    }
    for place in &places {
        if let Some(task) = place.task.and_then(|task| tasks.get(task)) {
            draw(&mut out, task, place);
        }
    }
    out.push_str("</svg>\n");
    Ok(out)
}

fn left_of(place: &Place) -> f64 {
    MARGIN + place.layer as f64 * (WIDTH + GAP)
}

fn middle_of(place: &Place) -> f64 {
    MARGIN + TITLE + HEIGHT / 2.0 + place.row * ROW
}

/// From the right side of one task to the left side of the other, level where it meets them.
fn path(line: &[usize], all: &[Place]) -> String {
    let mut d = String::new();
    let mut from: Option<(f64, f64)> = None;
    for at in line {
        let place = &all[*at];
        let (x, y) = (left_of(place), middle_of(place));
        if let Some((from_x, from_y)) = from {
            let bend = (from_x + x) / 2.0;
            let _ = write!(d, " C{bend:.1} {from_y:.1} {bend:.1} {y:.1} {x:.1} {y:.1}");
        } else {
            let _ = write!(d, "M{:.1} {y:.1}", x + WIDTH);
        }
        if place.task.is_none() {
            let _ = write!(d, " L{:.1} {y:.1}", x + WIDTH);
        }
        from = Some((x + WIDTH, y));
    }
    d
}

fn draw(out: &mut String, task: &Drawn<'_>, place: &Place) {
    let (x, y) = (left_of(place), middle_of(place) - HEIGHT / 2.0);
    let (class, marked) = (task.look.class(), task.look != Look::Plain);
    let mut name: String = task.name.chars().take(NAME_CHARS).collect();
    if task.name.chars().count() > NAME_CHARS {
        name.push('…');
    }
    let whole =
        if task.detail.is_empty() { task.name.to_owned() } else { format!("{}: {}", task.name, task.detail) };
    let _ = write!(
        out,
        "<g class=\"{class}\"><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>",
        escaped(&whole)
    );
    let (text_x, text_y) = (x + if marked { 28.0 } else { 12.0 }, y + 22.0);
    if marked {
        let mark = task.look.mark();
        let _ = write!(out, "<text class=\"mark\" x=\"{:.1}\" y=\"{text_y:.1}\">{mark}</text>", x + 10.0);
    }
    let _ = writeln!(out, "<text x=\"{text_x:.1}\" y=\"{text_y:.1}\">{}</text></g>", escaped(&name));
}

/// As text of an XML document (XML 1.0, 2.2 and 2.4): characters that it cannot have are shown as `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match entity(c) {
            Some(entity) => out.push_str(entity),
            None if c == '\'' => out.push_str("&#39;"),
            None if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            None => out.push(c),
        }
    }
    out
}

const STYLE: &str = "
svg { font: 13px ui-sans-serif, system-ui, sans-serif; }
.ground { fill: #ffffff; } .head { fill: #1f2328; font-weight: 600; font-size: 15px; }
.line { fill: none; stroke: #8c959f; stroke-width: 1.4; }
g rect { fill: #f6f8fa; stroke: #8c959f; stroke-width: 1.2; } g text { fill: #1f2328; }
.waits rect { stroke-dasharray: 4 3; } .waits text { fill: #57606a; }
.runs rect { fill: #ddf4ff; stroke: #0969da; } .runs .mark { fill: #0969da; }
.good rect { fill: #dafbe1; stroke: #1a7f37; } .good .mark { fill: #1a7f37; }
.done rect { fill: #f6f8fa; stroke: #1a7f37; } .done .mark { fill: #1a7f37; }
.bad rect { fill: #ffebe9; stroke: #cf222e; } .bad .mark { fill: #cf222e; }
.over rect { fill: #fff8c5; stroke: #9a6700; } .over .mark { fill: #9a6700; }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; } .head { fill: #e6edf3; } .line { stroke: #6e7681; }
g rect { fill: #161b22; stroke: #6e7681; } g text { fill: #e6edf3; } .waits text { fill: #8b949e; }
.runs rect { fill: #0c2d6b; stroke: #58a6ff; } .runs .mark { fill: #58a6ff; }
.good rect { fill: #12331d; stroke: #3fb950; } .good .mark { fill: #3fb950; }
.done rect { fill: #161b22; stroke: #3fb950; } .done .mark { fill: #3fb950; }
.bad rect { fill: #47171b; stroke: #f85149; } .bad .mark { fill: #f85149; }
.over rect { fill: #3b2f0b; stroke: #d29922; } .over .mark { fill: #d29922; }
}
";

#[cfg(test)]
mod tests {
    use super::super::tests::net;
    use super::*;

    fn drawn<'a>(names: &[&'a str]) -> Vec<Drawn<'a>> {
        let looks = [Look::Good, Look::Bad, Look::Running, Look::Plain];
        let detail = |n: usize| if n == 1 { "exit <code> 1 & \"more\"".to_owned() } else { String::new() };
        names
            .iter()
            .enumerate()
            .map(|(n, name)| Drawn { name, look: looks[n % looks.len()], detail: detail(n) })
            .collect()
    }

    #[test]
    fn a_small_one() {
        let (net, names) = net("fetch lint<fetch build<fetch ship<lint,build,fetch");
        let text = svg(&net, "a <dag>", &drawn(&names)).unwrap();
        insta::assert_snapshot!(text.replace(STYLE, "…"));
    }

    #[test]
    fn whatever_names_say_it_stays_text() {
        let (net, _) = net("a");
        let text =
            svg(&net, "</title><script>x</script>\u{0}", &drawn(&["]]><script>alert(1)</script>"])).unwrap();
        assert!(!text.contains("<script") && !text.contains('\u{0}'), "{text}");
        assert_eq!(text.matches("<svg").count(), 1);
    }
}
