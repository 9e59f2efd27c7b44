//! The task that is chosen: how it stands, what it asks, what it printed.

use cis_core::api::{TimeSplit, option_numbers};
use cis_core::text;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::{ATTENTION, BOLD, DIM, PLAIN, Pen, Scene, mark, numbered, rule};
use crate::commands::dag::watch::board::tree::Key;
use crate::output::clean::{clean, clean_lines};
use crate::output::human::span;
use crate::progress::model::Index;

/// Lines of a question, where options and output are to have room as well.
const QUESTION_LINES: usize = 6;
/// Less would read `0.0s`.
const SHOWN_FROM_MS: i64 = 50;

pub(super) fn draw(buf: &mut Buffer, area: Rect, scene: &Scene<'_>, beside_list: bool) {
    let Some(index) = scene.ui.task() else {
        rule(
            buf,
            area,
            0,
            if matches!(scene.ui.key(), Some(Key::Rest(_))) { "folded: Enter opens" } else { "" },
        );
        return;
    };
    rule(buf, area, 0, &scene.board.model.task(index).name);
    let inner = Rect {
        x: area.x + 1,
        y: area.y + 1,
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(1),
    };
    let mut lines = vec![state(scene, index)];
    lines.extend(asked(scene, index, inner.width.into()));
    lines.extend(rest(scene, index));
    // Something of what it printed is seen in any case.
    let room = usize::from(inner.height).saturating_sub(if beside_list { 4 } else { 3 });
    lines.truncate(room.max(1));
    let mut row = 0;
    for (text, style) in lines.into_iter().take(inner.height.into()) {
        Pen::new(buf, inner, row).put_rest(&text, style);
        row += 1;
    }
    let left = Rect { y: inner.y + row, height: inner.height - row, ..inner };
    output(buf, left, scene, index);
}

fn state(scene: &Scene<'_>, index: Index) -> (String, Style) {
    let board = scene.board;
    let (line, more) = (board.model.task(index), &board.more[index]);
    let (shape, style) = mark(line.state, more.stopped());
    let mut first = format!("{shape} {}", line.state);
    if line.attempt > 0 {
        first += format!(", try {}", line.attempt).as_str();
    }
    if let Some(code) = more.exit_code {
        first += format!(", exit code {code}").as_str();
    }
    let times = times(&more.times.at(scene.now));
    if !times.is_empty() {
        first += format!(": {times}").as_str();
    }
    (first, style)
}

/// Why it is in its state, and what it needs.
fn rest(scene: &Scene<'_>, index: Index) -> Vec<(String, Style)> {
    let (board, more) = (scene.board, &scene.board.more[index]);
    let mut lines = Vec::new();
    if let Some(said) = &more.said {
        let percent = said.percent.map(|percent| format!("{percent} % ")).unwrap_or_default();
        lines.push((format!("says: {percent}{}", clean(&said.text.replace('\n', " "))), PLAIN));
    }
    if !more.reason.is_empty() {
        lines.extend(clean_lines(&more.reason).lines().map(|line| (line.to_owned(), PLAIN)));
    }
    if !more.needs.is_empty() {
        let names: Vec<&str> =
            more.needs.iter().take(20).map(|need| &*board.model.task(*need).name).collect();
        let others = if more.needs.len() > 20 {
            format!(" and {} more", more.needs.len() - 20)
        } else {
            String::new()
        };
        lines.push((format!("needs {}{others}", names.join(", ")), DIM));
    }
    lines
}

/// `queue 2.0s, machine 41.0s, human 3m 20s`, without what is nothing.
pub(super) fn times(split: &TimeSplit) -> String {
    let part = |name: &str, ms: i64| {
        (ms >= SHOWN_FROM_MS).then(|| format!("{name} {}", text::duration(u64::try_from(ms).unwrap_or(0))))
    };
    let parts =
        [part("queue", split.queue_ms), part("machine", split.machine_ms), part("human", split.human_ms)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn asked(scene: &Scene<'_>, index: Index, width: usize) -> Vec<(String, Style)> {
    let mut lines = Vec::new();
    for asked in &scene.board.more[index].asked {
        let what = if asked.stops() { "waits for you" } else { "asks, and goes on" };
        let mut head = format!("{what}: {} for {}", asked.kind, span(asked.since_ms, scene.now));
        if let Some(until) = asked.until_ms {
            head += format!(", {} left", span(scene.now, until)).as_str();
        }
        if let Some(by) = &asked.answered_by {
            head += format!("; answered by {}", clean(by)).as_str();
        }
        lines.push((head, ATTENTION));
        lines.extend(question(&asked.question, width).into_iter().map(|line| (line, BOLD)));
        for (option, number) in asked.options.iter().zip(option_numbers(&asked.options)) {
            lines.push((format!("  {}{}", numbered(number), clean(&option.label)), PLAIN));
        }
    }
    lines
}

/// A question in lines of that width, not too many.
pub(super) fn question(text: &str, width: usize) -> Vec<String> {
    let text = clean_lines(text);
    let mut lines = text.lines().flat_map(|line| text::wrapped(line, width.max(10)));
    let mut shown: Vec<String> = lines.by_ref().take(QUESTION_LINES).collect();
    if lines.next().is_some()
        && let Some(last) = shown.last_mut()
    {
        last.push('…');
    }
    shown
}

fn output(buf: &mut Buffer, area: Rect, scene: &Scene<'_>, index: Index) {
    if area.height < 2 {
        return;
    }
    let live = scene.board.is_live(index);
    rule(buf, area, 0, if live { "now" } else { "printed" });
    let inner = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if scene.output.task != Some(index) {
        return;
    }
    if let Some(none) = &scene.output.none {
        Pen::new(buf, inner, 0).put_rest(&clean(none), DIM);
        return;
    }
    let all = &scene.output.lines;
    let newest = all.range(all.len().saturating_sub(inner.height.into())..);
    for (row, line) in (0..inner.height).zip(newest) {
        Pen::new(buf, inner, row).put_rest(line, PLAIN);
    }
}
