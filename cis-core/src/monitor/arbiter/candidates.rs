//! What each layer would conclude by itself, and from when on it counts.

use super::terminal::Reported;
use super::{Arbiter, DONE_UNSEEN_MS, kernel};
use crate::event::{Layer, PromptKind, PromptOption, QUESTION_CHARS_MAX};
use crate::ids::TimestampMs;
use crate::monitor::clean;
use crate::monitor::evidence::{KernelEvidence, Modes, Reader, ReaderHow};
use crate::monitor::profile::{Found, Idle, Says};
use crate::monitor::screen::{
    Asked, Page, Place, Shape, fingerprint, is_clockwork, is_listener, kind_of, letters, menu_of, shape_of,
    unboxed,
};
use crate::monitor::verdict::Verdict;

/// Cells are still for so long before a process in a read counts, ms.
const READ_MS: i64 = 1000;
/// The same of a password's: no other program reads so.
const PASSWORD_MS: i64 = 300;
/// The same where something on the screen moves by itself.
const READ_MOVING_MS: i64 = 3000;
/// Of a read behind nothing that looks like a prompt.
const READ_SILENT_MS: i64 = 1300;
/// Of a process that polls, behind a prompt.
const POLL_MS: i64 = 2500;
/// Of one behind some text, or on a screen that nothing is known of.
const POLL_WEAK_MS: i64 = 5000;
/// Of one whose screen paints itself anew.
const POLL_CLOCKWORK_MS: i64 = 30_000;
/// A notification came with it.
const NOTICED_MS: i64 = 300;
/// A reader inside, while the screen outside moves: seen in its read for so long.
const NESTED_MS: i64 = 1000;
/// The same where no prompt of it is seen.
const NESTED_SILENT_MS: i64 = 5000;
/// A report waits so long for the screen that belongs to it.
const REPORT_MS: i64 = 120;
/// Being at its prompt, as it reports itself.
const REPORT_IDLE_MS: i64 = 300;
/// Output flowed within this time: bytes still flow, ms.
const FLOWS_MS: i64 = 30_000;
/// Rows at the bottom that a server's last words are looked for in.
const LAST_ROWS: usize = 6;

/// What a prompt was found by: what must stay for it to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A rule of the profile.
    Rule,
    /// A menu, found by its look.
    Menu,
    /// The text before the cursor.
    Line,
    /// A terminal inside.
    Nested { pid: u32 },
    /// A report alone.
    Report,
    /// A marker.
    Marker,
    /// Nothing moves.
    Stalled,
}

/// A verdict that may become one.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) verdict: Verdict,
    pub(super) source: Source,
    pub(super) place: Place,
    /// From when on it counts.
    pub(super) ready_ms: TimestampMs,
    /// In one sentence.
    pub(super) why: String,
}

/// What a candidate is made of.
struct Made {
    kind: PromptKind,
    layer: Layer,
    confidence: u8,
    hash: String,
    question: String,
    options: Vec<PromptOption>,
    source: Source,
    place: Place,
    since_ms: TimestampMs,
    ready_ms: TimestampMs,
    why: String,
}

impl Made {
    fn candidate(self) -> Candidate {
        let verdict = Verdict {
            episode: 0,
            since_ms: self.since_ms,
            kind: self.kind,
            layer: self.layer,
            confidence: self.confidence,
            hash: self.hash,
            question: clean::text(&self.question, QUESTION_CHARS_MAX),
            options: self.options,
        };
        Candidate { verdict, source: self.source, place: self.place, ready_ms: self.ready_ms, why: self.why }
    }
}

/// What the general rules read at the cursor.
struct Line {
    kind: PromptKind,
    question: String,
    options: Vec<PromptOption>,
    place: Place,
    hash: String,
    source: Source,
}

impl Arbiter {
    /// All that speaks for a prompt now or soon.
    pub(super) fn candidates(&self, now: TimestampMs) -> Vec<Candidate> {
        let Some(page) = &self.cells.page else { return Vec::new() };
        let mut all = Vec::new();
        all.extend(self.by_report(page));
        all.extend(self.by_reader(page, now));
        all.extend(self.by_nested(page, now));
        all.extend(self.by_rule(now));
        all.extend(self.by_marker(page));
        if self.standing.is_none() && all.is_empty() {
            all.extend(self.by_stillness(now));
        }
        all
    }

    /// What the profile's rules found, where it is a prompt.
    fn prompt_found(&self) -> Option<(&Found, PromptKind, TimestampMs)> {
        match &self.found {
            Some((found, since)) => match found.says {
                Says::Waits(kind) => Some((found, kind, *since)),
                Says::Working => None,
            },
            None => None,
        }
    }

    fn at_work(&self) -> bool {
        matches!(&self.found, Some((found, _)) if found.says == Says::Working) || self.terminal.works()
    }

    /// A candidate out of a rule's finding, on whatever layer it is confirmed.
    fn of_found(
        found: &Found,
        kind: PromptKind,
        layer: Layer,
        ready_ms: TimestampMs,
        why: String,
    ) -> Candidate {
        Made {
            kind,
            layer,
            confidence: if layer == Layer::Screen { 90 } else { 97 },
            hash: found.hash.clone(),
            question: found.question.clone(),
            options: found.options.clone(),
            source: Source::Rule,
            place: Place::Rule,
            since_ms: ready_ms,
            ready_ms,
            why,
        }
        .candidate()
    }

    /// Layer 2.
    fn by_report(&self, page: &Page) -> Option<Candidate> {
        let report = self.terminal.report.as_ref()?;
        let (kind, hold) = match report.says {
            Reported::Waits(kind) => (kind, REPORT_MS),
            Reported::Idle => (PromptKind::Idle, REPORT_IDLE_MS),
            Reported::Working => return None,
        };
        if let Some((found, rule_kind, since)) = self.prompt_found()
            && (rule_kind == PromptKind::Idle) == (kind == PromptKind::Idle)
        {
            let ready = since.max(report.at_ms) + if kind == PromptKind::Idle { hold } else { 0 };
            let why = format!("{}, and rule {:?} finds it on the screen", report.seen, found.rule);
            return Some(Self::of_found(found, rule_kind, Layer::Terminal, ready, why));
        }
        // A screen from before the report does not show what it is about.
        let seen = self.cells.seen_ms.unwrap_or(report.at_ms);
        let at_cursor = page.view.cursor_visible && !unboxed(&page.lead).is_empty() && page.at_end();
        let (place, source) =
            if at_cursor { (page.line(), Source::Report) } else { (Place::Whole, Source::Report) };
        let hash =
            if at_cursor { line_hash(&place) } else { fingerprint([report.message.as_str(), kind.as_str()]) };
        let question = if report.message.is_empty() { page.asking() } else { report.message.clone() };
        let ready_ms = report.at_ms.max(seen.min(report.at_ms + hold)) + hold;
        let why = format!("{}; no rule knows the screen", report.seen);
        let options = Vec::new();
        Some(
            Made {
                kind,
                layer: Layer::Terminal,
                confidence: 85,
                hash,
                question,
                options,
                source,
                place,
                since_ms: report.at_ms,
                ready_ms,
                why,
            }
            .candidate(),
        )
    }

    /// Layer 3: the session's own terminal.
    fn by_reader(&self, page: &Page, now: TimestampMs) -> Option<Candidate> {
        let still = self.cells.still_since();
        let moving = self.kernel.last.as_ref()?;
        let evidence = match self.kernel.seen_since(still) {
            Some(evidence) => evidence,
            // Cells move: only who has sat in a read all the while counts.
            None => moving,
        };
        // The host has seen output that is still on its way.
        let behind = self.kernel.at_ms.unwrap_or(now) - self.cells.last_output_ms;
        if behind - i64::try_from(evidence.quiet_ms).unwrap_or(i64::MAX) > 200 {
            return None;
        }
        let reader = self.kernel.own();
        let modes = reader.and_then(|reader| reader.modes).or(evidence.modes);
        if kernel::hides(modes) && (reader.is_some() || evidence.opaque) {
            let who = reader.map_or("a process of somebody else", |reader| &reader.name);
            let why = format!("{who} reads the terminal, which does not show what is typed");
            let names = names(evidence);
            let line = read_line(page, &names, modes, true);
            return Some(self.of_line(line, PromptKind::Password, 98, still, still + PASSWORD_MS, why));
        }
        if self.profile.full_screen {
            return None;
        }
        let names = names(evidence);
        match reader {
            Some(reader) if reader.how == ReaderHow::Read => self.by_read(page, reader, modes, &names, now),
            Some(reader) => self.by_poll(page, &reader.name, modes, &names),
            None if evidence.opaque => self.by_poll(page, "a process of somebody else", modes, &names),
            None => None,
        }
    }

    fn by_read(
        &self,
        page: &Page,
        reader: &Reader,
        modes: Option<Modes>,
        names: &[String],
        now: TimestampMs,
    ) -> Option<Candidate> {
        let still = self.cells.still_since();
        let shape = shape_of(&page.asking());
        let raw = kernel::is_raw(modes);
        let mut line = read_line(page, names, modes, false);
        let why = format!("{} sits in a read of the terminal", reader.name);
        if self.kernel.seen_since(still).is_none() {
            // Something on the screen turns while it is read.
            let sits = now - self.kernel.sits_since(reader.pid)?;
            let steady = self.cells.steady_for();
            let counts =
                shape_of(&page.lead) == Shape::Strong && sits >= READ_MOVING_MS && steady >= READ_MOVING_MS;
            return counts
                .then(|| self.of_line(line, PromptKind::Unknown, 85, self.cells.steady_ms, now, why));
        }
        let last = page.above(page.end(), LAST_ROWS);
        if is_listener(&last) && shape_of(&page.lead) != Shape::Strong && !page.view.alternate {
            return None;
        }
        let sure =
            shape == Shape::Strong || (raw && page.view.alternate) || self.kernel.busy() == Some(false);
        if shape != Shape::Strong && self.kernel.busy() == Some(true) {
            return None;
        }
        if line.source == Source::Line && raw && self.menu_is_near(page) {
            line = menu_line(page, names, modes).unwrap_or(line);
        }
        let ready = still + if sure { READ_MS } else { READ_SILENT_MS };
        let confidence = if shape == Shape::Strong { 97 } else { 88 };
        Some(self.of_line(line, PromptKind::Unknown, confidence, still, ready, why))
    }

    fn menu_is_near(&self, page: &Page) -> bool {
        shape_of(&page.lead) != Shape::Strong || !page.view.cursor_visible
    }

    /// It polls: also those do that only listen. So more must speak for it.
    fn by_poll(&self, page: &Page, who: &str, modes: Option<Modes>, names: &[String]) -> Option<Candidate> {
        let still = self.cells.still_since();
        self.kernel.seen_since(still)?;
        if self.at_work() {
            return None;
        }
        let why = |what: &str| format!("{who} waits for the terminal among other things, {what}");
        let wait = |ms: i64| still + if self.terminal.noticed(still) { NOTICED_MS } else { ms };
        if self.menu_is_near(page)
            && let Some(line) = menu_line(page, names, modes)
        {
            return Some(self.of_line(
                line,
                PromptKind::Question,
                90,
                still,
                wait(POLL_MS),
                why("at a menu"),
            ));
        }
        let line = read_line(page, names, modes, false);
        if matches!(line.kind, PromptKind::Editor | PromptKind::Pager) && kernel::is_raw(modes) {
            return Some(self.of_line(
                line,
                PromptKind::Unknown,
                92,
                still,
                wait(POLL_MS),
                why("as editors and pagers do"),
            ));
        }
        let clockwork = is_clockwork(&page.view.lines);
        if page.view.alternate || !page.view.cursor_visible {
            if !page.view.alternate {
                return None;
            }
            let ms = if clockwork { POLL_CLOCKWORK_MS } else { POLL_WEAK_MS };
            return Some(self.of_line(
                line,
                PromptKind::Unknown,
                70,
                still,
                wait(ms),
                why("and its screen is still"),
            ));
        }
        let ms = match shape_of(&page.lead) {
            Shape::Strong if !clockwork || page.at_end() => POLL_MS,
            Shape::Strong => POLL_CLOCKWORK_MS,
            Shape::Weak => POLL_WEAK_MS,
            Shape::Empty | Shape::Progress => return None,
        };
        let confidence = if ms == POLL_MS { 90 } else { 70 };
        Some(self.of_line(
            line,
            PromptKind::Unknown,
            confidence,
            still,
            wait(ms),
            why("behind text that stands before the cursor"),
        ))
    }

    /// Layer 3: a terminal inside, also while the screen outside moves.
    fn by_nested(&self, page: &Page, now: TimestampMs) -> Option<Candidate> {
        let (reader, since) = self.kernel.nested()?;
        let still = self.cells.still_since();
        let why = format!("{} sits in a read of a terminal inside", reader.name);
        let password = kernel::hides(reader.modes);
        let kind = if password { PromptKind::Password } else { PromptKind::Unknown };
        let names = [reader.name.clone()];
        let plain = !self.profile.full_screen && self.kernel.seen_since(still).is_some();
        if plain && page.view.cursor_visible && !page.view.alternate {
            let line = read_line(page, &names, reader.modes, password);
            let ready = still.max(since) + if password { PASSWORD_MS } else { READ_MS };
            return Some(self.of_line(line, kind, 95, still, ready, why));
        }
        let row = nested_row(page);
        let silent = row.is_none() && !password;
        let ready_ms = since + if silent { NESTED_SILENT_MS } else { NESTED_MS };
        // Looked at once a second: the last look may be the one that tells.
        let seen = self.kernel.at_ms.unwrap_or(now);
        let ready_ms = if seen >= ready_ms { ready_ms } else { ready_ms.max(now + 1) };
        let text = row.unwrap_or_default();
        let options = letters(&text, true);
        let kind = match kind {
            PromptKind::Unknown => {
                kind_of(&Asked { page, text: &text, options: &options, names: &names, modes: None })
            }
            kind => kind,
        };
        let place = if text.is_empty() { Place::Whole } else { Place::Row { text: text.clone() } };
        let hash = fingerprint([text.as_str(), &reader.pid.to_string()]);
        let confidence = if silent { 70 } else { 92 };
        // What is typed goes to the program outside: it knows what to do with keys, we do not.
        let options = if self.profile.full_screen { Vec::new() } else { options };
        let source = Source::Nested { pid: reader.pid };
        Some(
            Made {
                kind,
                layer: Layer::Kernel,
                confidence,
                hash,
                question: text,
                options,
                source,
                place,
                since_ms: since,
                ready_ms,
                why,
            }
            .candidate(),
        )
    }

    /// Layer 4.
    fn by_rule(&self, now: TimestampMs) -> Option<Candidate> {
        let (found, kind, since) = self.prompt_found()?;
        let idle = kind == PromptKind::Idle;
        if idle && self.terminal.works() {
            return None;
        }
        let mut hold = found.hold_ms;
        if !idle && self.terminal.noticed(since) {
            hold = 0;
        }
        let mut ready = since + hold;
        if idle && self.profile.idle == Idle::Done && !self.worked && !self.done {
            ready = since + DONE_UNSEEN_MS;
        }
        if self.cells.dirty_ms.is_some() && ready <= now {
            // It held on a screen that is not the present one any more.
            ready = now + 1;
        }
        let why = format!("rule {:?} of profile {} finds it on the screen", found.rule, self.profile.name);
        Some(Self::of_found(found, kind, Layer::Screen, ready, why))
    }

    fn by_marker(&self, page: &Page) -> Option<Candidate> {
        let (kind, text) = self.markers.asks.as_ref().filter(|_| self.profile.markers)?;
        let hash = fingerprint([kind.as_str(), text]);
        let still = self.cells.still_since();
        let _ = page;
        Some(
            Made {
                kind: *kind,
                layer: Layer::Screen,
                confidence: 85,
                hash,
                question: text.clone(),
                options: Vec::new(),
                source: Source::Marker,
                place: Place::Row { text: text.clone() },
                since_ms: still,
                ready_ms: still + READ_MS,
                why: "a line begins with a marker".to_owned(),
            }
            .candidate(),
        )
    }

    /// Layer 5: nothing but a spinner moves, though bytes flow.
    fn by_stillness(&self, now: TimestampMs) -> Option<Candidate> {
        if now - self.cells.last_output_ms > FLOWS_MS {
            return None;
        }
        let after = i64::try_from(self.profile.stalled_after_ms).unwrap_or(i64::MAX);
        let ready_ms = self.cells.steady_ms.saturating_add(after);
        Some(
            Made {
                kind: PromptKind::Stalled,
                layer: Layer::Quiet,
                confidence: 60,
                hash: fingerprint(self.cells.steady.iter().map(String::as_str)),
                question: String::new(),
                options: Vec::new(),
                source: Source::Stalled,
                place: Place::Whole,
                since_ms: self.cells.steady_ms,
                ready_ms,
                why: "nothing but spinners and clocks has moved".to_owned(),
            }
            .candidate(),
        )
    }

    /// A prompt at the cursor; where a rule of the profile knows it, with what that knows.
    fn of_line(
        &self,
        line: Line,
        kind: PromptKind,
        confidence: u8,
        since_ms: TimestampMs,
        ready_ms: TimestampMs,
        why: String,
    ) -> Candidate {
        if let Some((found, rule_kind, _)) = self.prompt_found().filter(|_| kind != PromptKind::Password) {
            let why = format!("{why}, and rule {:?} knows the prompt", found.rule);
            return Self::of_found(found, rule_kind, Layer::Kernel, ready_ms, why);
        }
        let password = kind == PromptKind::Password;
        Made {
            kind: if password { kind } else { line.kind },
            layer: Layer::Kernel,
            confidence,
            hash: line.hash,
            question: line.question,
            options: if password || line.kind == PromptKind::Password { Vec::new() } else { line.options },
            source: line.source,
            place: line.place,
            since_ms,
            ready_ms,
            why,
        }
        .candidate()
    }
}

/// Command names of those who read or sit in the foreground.
fn names(evidence: &KernelEvidence) -> Vec<String> {
    let readers = evidence.readers.iter().map(|reader| &reader.name);
    readers.chain(&evidence.foreground).cloned().collect()
}

fn line_hash(place: &Place) -> String {
    match place {
        Place::Line { above, lead } => fingerprint(above.iter().map(String::as_str).chain([lead.as_str()])),
        Place::Row { text } => fingerprint([text.as_str()]),
        Place::Rule | Place::Whole => fingerprint([]),
    }
}

/// The prompt at the cursor, by the general rules.
fn read_line(page: &Page, names: &[String], modes: Option<Modes>, hidden: bool) -> Line {
    let text = page.asking();
    // One key is taken as it comes, where the terminal neither collects lines nor shows what is typed, or
    // shows it itself and does not collect.
    let enter = modes.is_none_or(|modes| modes.canonical || !modes.echo);
    let mut options = if hidden { Vec::new() } else { letters(&text, enter) };
    if options.is_empty() && !hidden {
        options = listed(page);
    }
    let kind = kind_of(&Asked { page, text: &text, options: &options, names, modes });
    if matches!(kind, PromptKind::Editor | PromptKind::Pager | PromptKind::Idle) {
        options.clear();
    }
    let place = page.line();
    Line { kind, question: text, options, hash: line_hash(&place), place, source: Source::Line }
}

/// Numbered rows above a prompt that asks for one of them (`#? `, `Choice [1-3]: `).
fn listed(page: &Page) -> Vec<PromptOption> {
    use crate::monitor::screen::{Keys, numbered};
    let lead = page.lead.to_lowercase();
    let chooses = ["#?", "choice", "choose", "select", "option", "number", "[1", "(1"]
        .iter()
        .any(|word| lead.contains(word));
    let row = page.cursor_row();
    let rows: Vec<&str> = (row.saturating_sub(20)..row).map(|row| page.row(row)).collect();
    let list = numbered(&rows, Keys::NumberEnter)
        .filter(|(options, first)| chooses && rows.len() - first <= 2 * options.len() + 2);
    list.map(|(options, _)| options).unwrap_or_default()
}

/// A menu, found by its look.
fn menu_line(page: &Page, names: &[String], modes: Option<Modes>) -> Option<Line> {
    let menu = menu_of(page)?;
    let labels = menu.options.iter().flat_map(|option| [option.label.as_str(), option.keys.as_str()]);
    let hash = fingerprint([menu.question.as_str()].into_iter().chain(labels));
    let kind = kind_of(&Asked { page, text: &menu.question, options: &menu.options, names, modes });
    let kind = match kind {
        PromptKind::Permission
        | PromptKind::Trust
        | PromptKind::Login
        | PromptKind::Error
        | PromptKind::Editor
        | PromptKind::Pager => kind,
        _ => PromptKind::Question,
    };
    Some(Line {
        kind,
        question: menu.question,
        options: menu.options,
        place: Place::Rule,
        hash,
        source: Source::Menu,
    })
}

/// The hash of the menu on the screen.
pub(super) fn menu_hash(page: &Page) -> Option<String> {
    menu_line(page, &[], None).map(|line| line.hash)
}

/// The row of a terminal inside that looks like a prompt: the lowest one in a box; without boxes, the
/// lowest that ends as questions end.
fn nested_row(page: &Page) -> Option<String> {
    let end = page.end();
    let boxed = |row: &&str| row.trim_start().starts_with(['│', '┃', '|']);
    let rows = || (0..end).rev().map(|row| page.row(row));
    let in_box = rows()
        .filter(boxed)
        .map(unboxed)
        .find(|row| row.ends_with([':', '?', '>', ']', '$', '#', '：', '？']));
    let found = in_box.or_else(|| {
        rows().map(unboxed).find(|row| row.ends_with([':', '?', '：', '？']) && !row.starts_with('>'))
    });
    found.map(str::to_owned)
}
