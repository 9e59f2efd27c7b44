//! Layer 3: what follows from who waits for the terminal.

use std::sync::Arc;

use super::candidates::{Candidate, Made, Source};
use super::line::{
    Asks, Line, Readers, asked_above, asked_line, has_dialog, hash_of, is_framed, listed, menu_line,
    nested_row, painted_line, read_line,
};
use super::{Arbiter, kernel};
use crate::event::{Layer, PromptKind};
use crate::ids::TimestampMs;
use crate::monitor::evidence::{KernelEvidence, Reader, ReaderHow};
use crate::monitor::screen::{
    Asked, Keys, Page, Place, Shape, answers, asks, asks_for_enter, continues, ends_program, ends_with_key,
    has_gauges, is_carrier, is_clockwork, is_gauge, is_listener, kind_of, letters, list_asked_above,
    menu_at_cursor, presses, shape_of, unboxed,
};

/// Cells are still for so long before a process in a read counts, ms.
const READ_MS: i64 = 1000;
/// The same of a password's: no other program reads so.
const PASSWORD_MS: i64 = 300;
/// The same where something on the screen moves by itself.
const READ_MOVING_MS: i64 = 3000;
/// Of a read behind nothing that looks like a prompt, until the tree is known not to compute.
const READ_SILENT_MS: i64 = 1300;
/// Of a process that polls, behind a prompt.
const POLL_MS: i64 = 2500;
/// The same at a menu, or behind a question that names its answers, where something on the screen moves by itself. The monitor looks once a second
/// then, so the call comes up to 1 s later: about when it does on a screen that is still.
const POLL_MOVING_MS: i64 = 2000;
/// Of one behind some text, or on a screen that nothing is known of.
const POLL_WEAK_MS: i64 = 5000;
/// What a program shows so soon after a key is because of that, ms.
const FOLLOWS_MS: i64 = 3000;
/// Of one whose screen paints itself anew.
const POLL_CLOCKWORK_MS: i64 = 30_000;
/// What is written so long after the last change is a clock or a counter, ms.
const TICKS_MS: i64 = 1000;
/// A notification came with it.
const NOTICED_MS: i64 = 300;
/// A reader inside, while the screen outside moves: seen in its read for so long.
const NESTED_MS: i64 = 1000;
/// The same where no prompt of it is seen.
const NESTED_SILENT_MS: i64 = 5000;
/// Who reads is known from a look that is not older, ms.
const RECENT_MS: i64 = 1200;
/// Rows at the bottom that a server's last words are looked for in.
const LAST_ROWS: usize = 6;
/// Rows from the question of an open frame to its corner.
const FRAME_ROWS: usize = 3;

/// A look at the session's own terminal.
struct Look<'a> {
    page: &'a Page,
    /// The surest reader; none: somebody who cannot be looked into.
    reader: Option<&'a Reader>,
    readers: Readers<'a>,
    /// Since when the cells are still.
    still: TimestampMs,
}

impl Look<'_> {
    fn who(&self) -> &str {
        self.reader.map_or("a process of somebody else", |reader| &reader.name)
    }

    /// The program paints its own prompts, so that the text before the cursor does not tell.
    fn paints(&self) -> bool {
        let menu = || menu_at_cursor(self.page, Keys::Arrows).is_some();
        !self.page.view.cursor_visible
            || shape_of(&self.page.lead) != Shape::Strong
            // The last row of a menu may end like a prompt: `3. No (esc)`.
            || (kernel::is_raw(self.readers.modes) && menu())
    }
}

impl Arbiter {
    /// Who reads the session's own terminal, and who reads one inside. Where one of them wants a secret, the other one is a
    /// program that passes on what is typed, and knows less: its question must not be answered.
    pub(super) fn by_readers(&self, now: TimestampMs) -> Vec<Candidate> {
        let mut all: Vec<Candidate> = self.by_reader(now).into_iter().chain(self.by_nested(now)).collect();
        let is_secret = |one: &Candidate| one.verdict.kind == PromptKind::Password;
        if all.iter().any(is_secret) {
            all.retain(is_secret);
        }
        all
    }

    /// The session's own terminal.
    fn by_reader(&self, now: TimestampMs) -> Option<Candidate> {
        // Output that came after the last look at the screen may show another question.
        let page = self.cells.present()?;
        let settled = self.settled(page);
        let evidence = settled.or_else(|| self.kernel.seen_since(now - RECENT_MS))?;
        if settled.is_some() && self.output_is_on_its_way(evidence) {
            return None;
        }
        let names = names(evidence);
        let look = self.look(page, evidence, &names)?;
        let at_rest = settled.and_then(|_| self.at_rest_by(&look, now));
        match at_rest {
            Some(found) if found.ready_ms <= now => Some(found),
            later => self.while_it_moves(&look, settled.is_none(), now).or(later),
        }
    }

    /// The question on a screen that changes, which does not count before it has stood for a while.
    pub(super) fn expected_while_it_moves(&self, now: TimestampMs) -> Option<Candidate> {
        if self.profile.full_screen || self.at_work(now) {
            return None;
        }
        let evidence = self.kernel.seen_since(now - RECENT_MS)?;
        let names = names(evidence);
        let look = self.look(self.cells.present()?, evidence, &names)?;
        self.found_while_it_moves(&look, look.reader?.how, now)
    }

    /// Who reads, and the screen. None after a key until the readers are looked at again.
    fn look<'a>(
        &'a self,
        page: &'a Page,
        evidence: &KernelEvidence,
        names: &'a [String],
    ) -> Option<Look<'a>> {
        if self.typed_ms.is_some_and(|typed| self.kernel.at_ms.is_none_or(|at| at < typed)) {
            return None;
        }
        let still = self.after_key(self.cells.still_since());
        let reader = self.kernel.own();
        if reader.is_none() && !evidence.opaque {
            return None;
        }
        let modes = reader.and_then(|reader| reader.modes).or(evidence.modes);
        let edits = self.terminal.edits;
        let pid = reader.map_or(0, |reader| reader.pid);
        let readers = Readers { names, modes, nested: false, pid, edits, before: self.before() };
        Some(Look { page, reader, readers, still })
    }

    /// What the screen of an editor showed when that was told.
    fn before(&self) -> Option<&[String]> {
        let standing = self.standing.as_ref().filter(|standing| standing.source == Source::Program)?;
        Some(&standing.rows)
    }

    /// Nothing on the screen moves.
    fn at_rest_by(&self, look: &Look<'_>, now: TimestampMs) -> Option<Candidate> {
        let still = look.still;
        if kernel::hides(look.readers.modes) {
            let why = format!("{} reads the terminal, which does not show what is typed", look.who());
            let line = read_line(look.page, look.readers, true);
            return Some(self.of_line(line, 98, still, still + PASSWORD_MS, why));
        }
        if self.profile.full_screen {
            return None;
        }
        let mut found = match look.reader {
            Some(reader) if reader.how == ReaderHow::Read => self.by_read(look),
            _ => self.by_poll(look, now),
        }?;
        // A reader that went on by itself before is believed later.
        found.ready_ms = still + self.distrust.hold(look.readers.pid, found.ready_ms - still);
        Some(found)
    }

    /// Finds a question that stays while rows of the screen change: a countdown, a log, or a spinner. `now_too`: they changed since
    /// the last look at who reads.
    fn while_it_moves(&self, look: &Look<'_>, now_too: bool, now: TimestampMs) -> Option<Candidate> {
        let reader = look.reader.filter(|_| !self.profile.full_screen)?;
        let (hold, sits) = match reader.how {
            ReaderHow::Read => (READ_MOVING_MS, self.kernel.at_ms? - self.kernel.sits_since(reader.pid)?),
            ReaderHow::Poll => (POLL_MOVING_MS, i64::MAX),
        };
        let is_sure = now_too && reader.how == ReaderHow::Read;
        // A reader that went on by itself before is believed later, and a screen that rests from time to time is judged then.
        let hold = if is_sure { hold } else { self.distrust.hold(reader.pid, hold) };
        let restless = if is_sure { i64::MAX } else { self.cells.restless_for(now) };
        let untyped = self.typed_ms.map_or(i64::MAX, |typed| now - typed);
        if sits.min(restless).min(self.cells.asks_for()).min(untyped) < hold {
            return None;
        }
        self.found_while_it_moves(look, reader.how, now)
    }

    fn found_while_it_moves(&self, look: &Look<'_>, how: ReaderHow, now: TimestampMs) -> Option<Candidate> {
        match how {
            ReaderHow::Read => self.by_read_while_it_moves(look, now),
            ReaderHow::Poll => self.by_poll_while_it_moves(look, now),
        }
    }

    /// Who reads, looked at while the screen showed just this, and has shown it since.
    fn settled(&self, page: &Arc<Page>) -> Option<&KernelEvidence> {
        self.kernel.seen_since(self.cells.still_since()).filter(|_| self.kernel.saw(page))
    }

    /// That time, or that of the last key where it is later. After Enter, rlwrap paints its old prompt again before it shows what was typed: that
    /// is no other prompt.
    fn after_key(&self, since: TimestampMs) -> TimestampMs {
        self.typed_ms.map_or(since, |typed| since.max(typed))
    }

    /// The host had seen output that is still on its way to us.
    fn output_is_on_its_way(&self, evidence: &KernelEvidence) -> bool {
        let ours = self.kernel.at_ms.unwrap_or_default() - self.cells.last_output_ms;
        ours - i64::try_from(evidence.quiet_ms).unwrap_or(i64::MAX) > 200
    }

    /// It sits in a read: exact, but for threads that only listen.
    fn by_read(&self, look: &Look<'_>) -> Option<Candidate> {
        let page = look.page;
        let raw = kernel::is_raw(look.readers.modes);
        let strong = shape_of(&page.asking()) == Shape::Strong;
        let rows = page.above(page.end(), LAST_ROWS);
        let listens = is_listener(&rows) && !asks_for_enter(&rows);
        let line = Self::read_at(look, false);
        let asks_below = matches!(line.place, Place::Row { .. });
        if listens && !asks_below && shape_of(&page.lead) != Shape::Strong && !page.view.alternate {
            return None;
        }
        let busy = self.kernel.busy();
        if !strong && busy == Some(true) {
            return None;
        }
        // A thread of a program that paints its screen by itself may sit in a read all the while.
        let by_look = raw && !strong && (page.view.alternate || !page.view.cursor_visible);
        if by_look && is_gauge(&page.view.lines) {
            return None;
        }
        let sure = strong || (raw && page.view.alternate) || busy == Some(false);
        // Programs that paint inline have somebody read all the time: without a menu or a prompt of theirs,
        // more must speak for it.
        let listens = raw && !page.view.cursor_visible && !page.view.alternate && line.source == Source::Line;
        let painted = !listens || strong || painted_line(page, look.readers).is_some();
        let hold = match (painted, sure) {
            (false, _) => POLL_WEAK_MS,
            (true, true) => READ_MS,
            (true, false) => READ_SILENT_MS,
        };
        let asks = strong || line.source == Source::Menu;
        let hold = match (by_look, self.paints_itself(page, asks, look.still)) {
            (true, true) => POLL_CLOCKWORK_MS,
            (true, false) => self.distrust.still_hold(hold),
            (false, _) => hold,
        };
        let ready = look.still + hold;
        let why = format!("{} sits in a read of the terminal", look.who());
        Some(self.of_line(line, if strong { 97 } else { 88 }, look.still, ready, why))
    }

    /// What is asked where somebody sits in a read.
    fn read_at(look: &Look<'_>, hidden: bool) -> Line {
        let line = read_line(look.page, look.readers, hidden);
        let may_ask = line.source == Source::Line || has_dialog(look.page);
        if may_ask && kernel::is_raw(look.readers.modes) && look.paints() {
            return menu_line(look.page, look.readers).unwrap_or(line);
        }
        line
    }

    /// Who has sat in the read all the while, behind a prompt or at a menu that stays, waits nevertheless.
    fn by_read_while_it_moves(&self, look: &Look<'_>, now: TimestampMs) -> Option<Candidate> {
        let line = Self::moving_line(look, Self::read_at(look, kernel::hides(look.readers.modes)))?;
        let asks = shape_of(&look.page.lead) == Shape::Strong || !line.options.is_empty();
        let why = format!("{} sits in a read of the terminal while something moves", look.who());
        self.stays(look.page, &line, asks).then(|| self.of_line(line, 85, self.cells.asks_ms, now, why))
    }

    /// Who polls listens, too, so more must ask: a menu with a question, or the answers that there are.
    fn by_poll_while_it_moves(&self, look: &Look<'_>, now: TimestampMs) -> Option<Candidate> {
        if self.at_work(now) || self.kernel.busy() == Some(true) {
            return None;
        }
        let page = look.page;
        let menu = look.paints().then(|| menu_line(page, look.readers)).flatten();
        let line = menu.filter(|menu| asks(&menu.question)).or_else(|| {
            if self.only_passes_on(look) {
                return None;
            }
            // A question on an earlier row is one of a log that goes on.
            let is_there = !page.view.cursor_visible || !page.lead.trim().is_empty();
            let line = Self::moving_line(look, read_line(page, look.readers, false));
            line.filter(|line| is_there && !line.options.is_empty())
        })?;
        // Something right of the cursor is being written there, or typed.
        let is_last = page.row(page.cursor_row()).trim_end().len() <= page.lead.len();
        let why = format!("{} waits for the terminal among other things while something moves", look.who());
        self.stays(page, &line, is_last || !page.view.cursor_visible)
            .then(|| self.of_line(line, 80, self.cells.asks_ms, now, why))
    }

    /// The line that was read, or, where the program hides the cursor, the prompt that it paints.
    fn moving_line(look: &Look<'_>, line: Line) -> Option<Line> {
        if look.page.view.cursor_visible || line.source != Source::Line {
            return Some(line);
        }
        painted_line(look.page, look.readers)
    }

    /// What is asked was the same when who waits was looked at. `asks`: the text before the cursor asks.
    fn stays(&self, page: &Page, line: &Line, asks: bool) -> bool {
        let Some(was) = self.kernel.on().map(Asks::of) else { return false };
        let is = self.cells.asks.clone().unwrap_or_else(|| Asks::of(page));
        (asks && was.text == is.text) || (line.source == Source::Menu && was.menu == is.menu)
    }

    /// It polls: also those do that only listen. So more must speak for it.
    fn by_poll(&self, look: &Look<'_>, now: TimestampMs) -> Option<Candidate> {
        if self.at_work(now) {
            return None;
        }
        let (line, confidence, ms, what) = self.polled(look).or_else(|| self.polls_again(look))?;
        // A listener's last line may end like a prompt: it is one if the listener is at rest for longer than ever.
        let listens = self.distrust.listens(look.readers.pid);
        if listens && self.kernel.busy() == Some(true) {
            return None;
        }
        let ms = if listens { self.distrust.still_hold(ms) } else { ms };
        let ms = if self.terminal.noticed(look.still) { NOTICED_MS } else { ms };
        let why = format!("{} waits for the terminal among other things, {what}", look.who());
        Some(self.of_line(line, confidence, look.still, look.still + ms, why))
    }

    fn polled(&self, look: &Look<'_>) -> Option<(Line, u8, i64, &'static str)> {
        let page = look.page;
        let strong = shape_of(&page.lead) == Shape::Strong;
        let clockwork = self.paints_itself(page, strong, look.still);
        if look.paints()
            && let Some(line) = menu_line(page, look.readers)
        {
            return Some((line, 90, POLL_MS, "at a menu"));
        }
        if self.only_passes_on(look) {
            return None;
        }
        let line = read_line(page, look.readers, false);
        let asks = page.view.cursor_visible && page.at_end() && strong;
        // It sleeps as well while it works: the screen has to name the answers, or to end as prompts end.
        let sleeps = look.reader.is_some_and(|reader| reader.sleeps);
        if sleeps && !asks && line.options.is_empty() {
            return None;
        }
        if matches!(line.kind, PromptKind::Editor | PromptKind::Pager) && kernel::is_raw(look.readers.modes) {
            return Some((line, 92, POLL_MS, "as editors and pagers do"));
        }
        let carries = look.readers.names.iter().any(|name| is_carrier(name));
        if matches!(line.place, Place::Row { .. }) && !page.view.alternate {
            return Some((line, 85, POLL_MS, "at a question in the lowest row"));
        }
        if page.view.alternate && !asks {
            if carries || self.kernel.busy() == Some(true) || is_gauge(&page.view.lines) {
                return None;
            }
            // A question may be all that is there. Among others it may be a row of a log.
            let is_alone = page.above(page.end(), 2).len() == 1;
            if !page.view.cursor_visible
                && is_alone
                && let Some(line) = painted_line(page, look.readers)
            {
                return Some((line, 75, POLL_WEAK_MS, "at a prompt that it paints"));
            }
            // Where nothing tells what it would wait for, that it is still tells little.
            // Of a program that nobody can look into, the screen has to tell: a view with a clock or a counter asks nothing.
            let ticks = look.reader.is_none() && self.cells.last_output_ms - look.still >= TICKS_MS;
            let weakest = clockwork || ticks || line.kind == PromptKind::Unknown;
            // A screen without words that changed by itself may be a view that will do so again.
            let asks = !line.question.is_empty() || self.follows_a_key(look.still);
            // What asks in a terminal inside is told apart first.
            let ms = match (weakest, self.kernel.beside()) {
                (true, _) => POLL_CLOCKWORK_MS,
                (false, 0) if asks => POLL_MS,
                (false, _) => POLL_WEAK_MS,
            };
            return Some((line, 70, self.distrust.still_hold(ms), "and its screen is still"));
        }
        if !page.view.alternate && Self::only_listens(page) {
            return None;
        }
        // Some paint their cursor, too.
        if !page.view.cursor_visible || is_framed(page) {
            let painted = painted_line(page, look.readers);
            return painted
                .map(|line| (line, 85, POLL_MS, "at a prompt that it paints"))
                .or_else(|| self.polled_below(look));
        }
        let shape = shape_of(&page.lead);
        if shape == Shape::Empty
            && page.at_end()
            && self.listens_for_keys(look)
            && let Some(question) = list_asked_above(page)
        {
            let is_sure = matches!(line.kind, PromptKind::Permission | PromptKind::Trust | PromptKind::Login);
            let kind = if is_sure { line.kind } else { PromptKind::Question };
            return Some((Line { kind, question, ..line }, 70, POLL_WEAK_MS, "below a list to choose from"));
        }
        match shape {
            Shape::Strong if clockwork && !page.at_end() => {
                Some((line, 70, POLL_CLOCKWORK_MS, "behind a prompt"))
            }
            Shape::Strong => Some((line, 90, POLL_MS, "behind what looks like a prompt")),
            Shape::Weak | Shape::Empty if look.readers.edits && line.kind != PromptKind::Unknown => {
                Some((line, 85, POLL_MS, "as line editors do"))
            }
            Shape::Progress if look.readers.edits && line.kind == PromptKind::Idle => {
                Some((line, 80, POLL_MS, "as line editors do"))
            }
            Shape::Progress if continues(&page.lead) && page.at_end() && self.listens_for_keys(look) => {
                let line = Line { kind: PromptKind::Idle, ..line };
                Some((line, 75, self.distrust.still_hold(POLL_WEAK_MS), "after the `...` of an interpreter"))
            }
            Shape::Weak if !carries && self.kernel.busy() != Some(true) => {
                let ms = self.distrust.still_hold(POLL_WEAK_MS);
                Some((line, 70, ms, "behind text that stands before the cursor"))
            }
            Shape::Empty if self.kernel.busy() == Some(true) => None,
            // Below a question whose row is ended, and holds no answer yet.
            Shape::Empty if page.at_end() && line.options.len() >= 2 && ends_open(&line.question) => {
                Some((line, 75, POLL_MS, "below a row that names its answers"))
            }
            Shape::Empty if page.at_end() && presses(&line.question) => {
                Some((line, 70, POLL_WEAK_MS, "below a row that names a key"))
            }
            Shape::Empty => self.polled_below(look),
            Shape::Weak | Shape::Progress => None,
        }
    }

    /// It was answered before, polls again soon after what was typed, and does nothing else.
    fn polls_again(&self, look: &Look<'_>) -> Option<(Line, u8, i64, &'static str)> {
        let page = look.page;
        let own = look.reader.filter(|own| own.pid == self.answered && !own.sleeps)?;
        let low = page.end().checked_sub(1).map_or("", |row| page.row(row));
        let works = [page.lead.as_str(), unboxed(low)].iter().any(|text| shape_of(text) == Shape::Progress);
        if works
            || !self.follows_a_key(look.still)
            || is_carrier(&own.name)
            || !self.listens_for_keys(look)
            || self.only_passes_on(look)
            || Self::only_listens(page)
            || is_gauge(&page.view.lines)
            || self.paints_itself(page, false, look.still)
        {
            return None;
        }
        let line = read_line(page, look.readers, false);
        let kind = match line.kind {
            PromptKind::Idle | PromptKind::Unknown => PromptKind::Question,
            kind => kind,
        };
        let ms = self.distrust.still_hold(POLL_WEAK_MS);
        Some((Line { kind, ..line }, 65, ms, "as it did before, and was answered"))
    }

    /// Below a question, where somebody types or chooses.
    fn polled_below(&self, look: &Look<'_>) -> Option<(Line, u8, i64, &'static str)> {
        let (text, is_signed) = asked_above(look.page, false).filter(|_| self.listens_for_keys(look))?;
        let ms = if is_signed { POLL_MS } else { self.distrust.still_hold(POLL_WEAK_MS) };
        Some((asked_line(look.page, text, look.readers), 75, ms, "below a question"))
    }

    /// It takes keys as they come, and computes nothing.
    fn listens_for_keys(&self, look: &Look<'_>) -> bool {
        kernel::is_raw(look.readers.modes) && self.kernel.busy() != Some(true)
    }

    /// It takes keys as they come, for a terminal inside where nobody waits for them, and shows what was written there: a text before
    /// the cursor is none of its own.
    fn only_passes_on(&self, look: &Look<'_>) -> bool {
        let shows = look.page.view.cursor_visible || look.page.view.alternate;
        shows && self.is_plain() && kernel::is_raw(look.readers.modes) && self.kernel.is_idle_inside()
    }

    /// Its last change came soon after a key.
    fn follows_a_key(&self, still: TimestampMs) -> bool {
        self.typed_ms.is_some_and(|typed| still - typed < FOLLOWS_MS)
    }

    /// The screen is one that paints itself anew again and again. Where it asks for something, a time that stands there does not make it
    /// one.
    fn paints_itself(&self, page: &Page, asks: bool, now: TimestampMs) -> bool {
        let lines = &page.view.lines;
        if asks { has_gauges(lines) || self.cells.has_clock(now) } else { is_clockwork(lines) }
    }

    /// The last rows are those of a server that takes keys, and nothing below them asks.
    fn only_listens(page: &Page) -> bool {
        let rows = page.above(page.end(), LAST_ROWS);
        let asks_for_key = || ends_with_key(&rows) || (page.at_end() && ends_program(&page.lead, &rows));
        is_listener(&rows) && !Self::asks_plainly(page) && !asks_for_key()
    }

    /// The prompt is no mere list of keys.
    fn asks_plainly(page: &Page) -> bool {
        if page.view.cursor_visible {
            return answers(&page.lead);
        }
        let rows = page.above(page.end(), FRAME_ROWS);
        rows.iter().any(|row| row.starts_with('◆'))
            || rows.iter().rev().take(2).any(|row| row.starts_with("? "))
    }

    /// A terminal inside, also while the screen outside moves.
    fn by_nested(&self, now: TimestampMs) -> Option<Candidate> {
        let page = self.cells.present()?;
        let (reader, since) = self.kernel.nested()?;
        // If no process reads the session's own terminal, what is typed does not reach this reader, but the next one of that terminal.
        // Agents read their keys in each state.
        if self.is_plain() && !self.kernel.is_passed_on(now) {
            return None;
        }
        // What was typed is on its way to it: the look from before does not count.
        let since = self.after_key(since);
        let still = self.cells.still_since();
        let why = format!("{} sits in a read of a terminal inside", reader.name);
        let password = kernel::hides(reader.modes);
        let names = [reader.name.clone()];
        if self.settled(page).is_some()
            && !self.profile.full_screen
            && page.view.cursor_visible
            && !page.view.alternate
        {
            let Reader { modes, pid, .. } = *reader;
            let readers = Readers { names: &names, modes, nested: true, pid, edits: false, before: None };
            let line = read_line(page, readers, password);
            let ready = still.max(since) + if password { PASSWORD_MS } else { READ_MS };
            return Some(self.of_line(line, 95, still, ready, why));
        }
        let row = nested_row(page);
        // It read behind what stood there then.
        if nested_row(self.kernel.on()?) != row {
            return None;
        }
        let silent = row.is_none() && !password;
        let ready_ms = since + if silent { NESTED_SILENT_MS } else { NESTED_MS };
        // It is looked at once a second: what counts is the last look, not the time since.
        let seen = self.kernel.at_ms.unwrap_or(now);
        let ready_ms = if seen >= ready_ms { ready_ms } else { ready_ms.max(now + 1) };
        let text = row.unwrap_or_default();
        let mut options = letters(&text, true);
        if options.is_empty() && unboxed(&page.lead) == text {
            options = listed(page);
        }
        let (names, nested) = (&names[..], true);
        let asked = Asked { page, text: &text, options: &options, names, modes: None, nested, edits: false };
        let kind = if password { PromptKind::Password } else { self.of_nested(kind_of(&asked)) };
        if self.profile.full_screen || kind == PromptKind::Password {
            // What is typed goes to the program outside: it knows what to do with keys, we do not.
            options.clear();
        }
        let place = if text.is_empty() { Place::Whole } else { Place::Row { text: text.clone() } };
        let made = Made {
            kind,
            layer: Layer::Kernel,
            confidence: if silent { 70 } else { 92 },
            hash: hash_of(&[&text, &reader.pid.to_string()], &options),
            question: text,
            options,
            source: Source::Nested { pid: reader.pid },
            place,
            since_ms: since,
            ready_ms,
            why,
        };
        Some(made.candidate())
    }

    /// A name that a tool asks for is no login of the agent that runs it: that one's own screens tell.
    fn of_nested(&self, kind: PromptKind) -> PromptKind {
        let asks_name = kind == PromptKind::Login && self.profile.full_screen;
        if asks_name { PromptKind::Question } else { kind }
    }

    /// What was read at the cursor; where a rule of the profile knows the prompt, with what that knows.
    fn of_line(
        &self,
        line: Line,
        confidence: u8,
        since_ms: TimestampMs,
        ready_ms: TimestampMs,
        why: String,
    ) -> Candidate {
        if let Some((found, kind, _)) = self.prompt_found().filter(|_| line.kind != PromptKind::Password) {
            let why = format!("{why}, and rule {:?} knows the prompt", found.rule);
            return Self::of_found(found, kind, Layer::Kernel, ready_ms, why);
        }
        let Line { kind, question, options, place, hash, source } = line;
        let layer = Layer::Kernel;
        Made { kind, layer, confidence, hash, question, options, source, place, since_ms, ready_ms, why }
            .candidate()
    }

    /// An editor is still what it was.
    pub(super) fn is_still(&self, kind: PromptKind, page: &Page) -> bool {
        let (Some(last), Some(reader)) = (&self.kernel.last, self.kernel.own()) else { return false };
        let names = names(last);
        let modes = reader.modes.or(last.modes);
        let edits = self.terminal.edits;
        let readers =
            Readers { names: &names, modes, nested: false, pid: reader.pid, edits, before: self.before() };
        read_line(page, readers, false).kind == kind
    }
}

/// Nothing stands behind a question and the answers that it names.
fn ends_open(question: &str) -> bool {
    question.trim_end().ends_with(['?', '？', ':', '：', ']', ')', '>'])
}

/// Command names of those who read or sit in the foreground.
fn names(evidence: &KernelEvidence) -> Vec<String> {
    let readers = evidence.readers.iter().map(|reader| &reader.name);
    readers.chain(&evidence.foreground).cloned().collect()
}
