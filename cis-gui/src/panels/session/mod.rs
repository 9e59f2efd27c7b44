//! A session's terminal: its screen, its scrollback and what is typed; and its log as text.

mod cells;

use std::sync::Arc;
use std::time::Duration;

use cis_core::api::TermSize;
use cis_core::ids::SessionId;
use cis_core::terminal::screen::Screen;
use eframe::egui::{
    self, Event, EventFilter, FontId, Id, ImeEvent, Key, Modifiers, Pos2, Rect, RichText, Sense, Stroke, Ui,
    ViewportCommand, vec2,
};

use self::cells::{Palette, line_runs};
use super::log::Log;
use super::{Go, Scene};
use crate::command::{Command, Slot};
use crate::terminal::{
    Finder, Place, Selection, Standing, Terminal, ToSession, key_bytes, paste_bytes, text_between, text_bytes,
};
use crate::widgets::{empty, one_line};

/// So many finds are marked.
const FOUND_MAX: usize = 2_000;
/// Size of letters: a screen that is larger than its place is drawn smaller, but not too small to be read.
const POINTS: (f32, f32) = (8.0, 16.0);
/// Of what is said of a session so many characters are shown.
const WORDS_MAX: usize = 160;

/// So many cells are searched with a frame.
const FIND_CELLS: usize = 100_000;
/// What goes on changing is searched at most once in this time, s.
const FIND_EVERY_S: f64 = 0.25;

/// What tells where text has gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Before {
    /// So many screens it had had.
    emptied: u64,
    /// In another one lines are broken anew.
    size: TermSize,
    alternate: bool,
    history: usize,
    /// So many lines had scrolled out.
    scrolled: u64,
}

/// What is looked at.
#[derive(Debug, Default)]
pub struct Session {
    terminal: Option<Arc<Terminal>>,
    /// Lines above what is shown when nobody scrolls.
    back: i32,
    /// The line that is shown first then.
    base: i32,
    /// The column that is shown first.
    left: usize,
    /// Parts of a line that the wheel has turned.
    turned: egui::Vec2,
    /// The cursor's column is to be seen.
    follow: bool,
    /// As it stood when it was looked at last.
    before: Before,
    selection: Option<Selection>,
    search: String,
    found: Vec<Selection>,
    /// A search that is not at its end: for what, and in what.
    finder: Option<(String, u64, Finder)>,
    found_at: u64,
    found_for: String,
    /// Not searched again before, in egui's time.
    found_next: f64,
    /// Text that an input method has not committed.
    composed: String,
    /// The newest of what was typed was more than waits for a session.
    refused: bool,
    /// The end of the log, shown instead of the screen.
    log: Option<Log>,
    /// The keys for searching were pressed.
    pub seek: bool,
}

impl Session {
    /// What is typed goes to the program, not to the dashboard.
    #[must_use]
    pub fn takes_keys(&self, ctx: &egui::Context) -> bool {
        ctx.memory(|memory| memory.has_focus(Id::unique("terminal")))
    }

    /// Finds what is searched for; in what goes on changing not with every frame.
    fn seek_in(&mut self, ctx: &egui::Context, screen: &Screen, version: u64) {
        if self.search.is_empty() {
            self.found.clear();
            self.finder = None;
            return self.found_for.clear();
        }
        let same = self.search == self.found_for;
        if same && self.found_at == version {
            self.finder = None;
            return;
        }
        let now = ctx.input(|input| input.time);
        if same && self.finder.is_none() && now < self.found_next {
            return ctx.request_repaint_after(Duration::from_secs_f64(self.found_next - now));
        }
        // What is under way is finished first, also where more has come meanwhile.
        let now_is = version;
        let under_way = self.finder.take().filter(|(needle, ..)| *needle == self.search);
        let (needle, version, mut finder) = under_way
            .unwrap_or_else(|| (self.search.clone(), version, Finder::new(screen, &self.search, FOUND_MAX)));
        if !finder.go_on(screen, FIND_CELLS) {
            self.finder = Some((needle, version, finder));
            return ctx.request_repaint();
        }
        self.found = finder.found();
        (self.found_for, self.found_at) = (needle, version);
        self.found_next = now + FIND_EVERY_S;
        if self.found_at != now_is {
            ctx.request_repaint_after(Duration::from_secs_f64(FIND_EVERY_S));
        }
    }

    /// What somebody reads, has selected or has found stays while output comes.
    fn moved(&mut self, emptied: u64, screen: &Screen) {
        let (alternate, history, scrolled) = (screen.is_alternate(), screen.history(), screen.scrolled());
        let now = Before { emptied, size: screen.size(), alternate, history, scrolled };
        let before = std::mem::replace(&mut self.before, now);
        if (before.emptied, before.size, before.alternate) != (emptied, now.size, alternate)
            || before.history > history
        {
            self.selection = None;
            // They stand elsewhere, and are looked for again.
            self.found.clear();
            self.finder = None;
        } else if before.scrolled < scrolled {
            let lines = i32::try_from(scrolled - before.scrolled).unwrap_or(i32::MAX);
            let top = -i32::try_from(history).unwrap_or(i32::MAX);
            let up =
                |place: Selection| Some(place.scrolled(lines)).filter(|place| place.range().1.line >= top);
            self.selection = self.selection.and_then(up);
            if let Some((.., finder)) = &mut self.finder {
                finder.scrolled(lines);
            }
            self.found = self.found.iter().copied().filter_map(up).collect();
            if self.back > 0 {
                self.back = self.back.saturating_add(lines);
            }
        }
    }

    /// Lets go of the terminal.
    pub fn close(&mut self) {
        *self = Self::default();
    }
}

/// Draws a session's terminal.
pub fn show(ui: &mut Ui, state: &mut Session, session: SessionId, scene: &mut Scene<'_>) {
    if state.terminal.as_ref().is_none_or(|terminal| terminal.session != session) {
        let terminal = Arc::new(Terminal::new(session));
        scene.to.send(Command::Open(Arc::clone(&terminal)));
        *state = Session { terminal: Some(terminal), ..Session::default() };
    }
    let Some(terminal) = state.terminal.clone() else { return };
    head(ui, state, &terminal, scene);
    ui.separator();
    if let Some(log) = &mut state.log {
        // The user does not see the screen that they would type into.
        ui.memory_mut(|memory| memory.surrender_focus(Id::unique("terminal")));
        let height = ui.available_height();
        return log.show(ui, height);
    }
    let standing = terminal.shown().standing.clone();
    let types = matches!(standing, Standing::Live { read_only: false });
    if matches!(standing, Standing::Opening { .. } | Standing::Refused(_)) {
        // What is typed would go nowhere: the dashboard has the keys then.
        ui.memory_mut(|memory| memory.surrender_focus(Id::unique("terminal")));
    }
    match standing {
        Standing::Opening { why } => {
            let why = why.map(|why| format!("{}; tried again by itself", one_line(&why, WORDS_MAX)));
            return empty(ui, "Opening…", why.as_deref().unwrap_or("The session's terminal is on its way."));
        }
        Standing::Refused(problem) => {
            let hint = problem.hint.clone().unwrap_or_else(|| "Its run may be gone.".to_owned());
            return empty(ui, &one_line(&problem.detail, WORDS_MAX), &one_line(&hint, WORDS_MAX));
        }
        Standing::Live { .. } | Standing::Away { .. } | Standing::Ended { .. } => {}
    }
    screen(ui, state, &terminal, types);
}

fn head(ui: &mut Ui, state: &mut Session, terminal: &Terminal, scene: &mut Scene<'_>) {
    ui.horizontal_wrapped(|ui| {
        if ui.button("Back").on_hover_text("Back (Esc, while the terminal does not take the keys)").clicked()
        {
            scene.go = Some(Go::Back);
        }
        ui.label(RichText::new(format!("Session {}", terminal.session.short())).heading());
        let word = match &terminal.shown().standing {
            Standing::Opening { .. } => "opening".to_owned(),
            Standing::Live { read_only: true } => "live, only to look at".to_owned(),
            Standing::Live { read_only: false } if state.takes_keys(ui.ctx()) => {
                "live: it has the keys; Shift+Esc takes them again".to_owned()
            }
            Standing::Live { read_only: false } => "live: click into it to type".to_owned(),
            Standing::Away { why } => {
                let why = why.as_deref().unwrap_or("the node is away");
                let then = if state.takes_keys(ui.ctx()) {
                    "what you type is dropped until the terminal is live again, or until Shift+Esc"
                } else {
                    "tried again by itself"
                };
                format!("{}; {then}", one_line(why, WORDS_MAX))
            }
            Standing::Ended { detail } => {
                let way_out = if state.takes_keys(ui.ctx()) {
                    "; Shift+Esc gives the keys to the dashboard"
                } else {
                    ""
                };
                format!("over: {}{way_out}", one_line(detail, WORDS_MAX))
            }
            Standing::Refused(_) => String::new(),
        };
        if !word.is_empty() {
            ui.label(RichText::new(word).weak());
        }
        if state.refused {
            let colour = ui.visuals().warn_fg_color;
            let words = "Not typed: too much waits for the session to read it";
            ui.label(RichText::new(words).color(colour)).on_hover_text("At most 1 MiB waits.");
        }
        let mut logged = state.log.is_some();
        let log = ui.toggle_value(&mut logged, "Log").on_hover_text("The end of what it wrote, as text");
        if log.clicked() {
            state.log = logged.then(|| {
                let slot = Slot::default();
                scene.to.send(Command::SessionLog(terminal.session, slot.clone()));
                Log::of(slot)
            });
        }
        if let Some(item) = scene.model.inbox.of_session(terminal.session) {
            let title = super::inbox::title(item);
            if ui.button(format!("Answer: {title}")).clicked() {
                scene.go = Some(Go::Inbox);
                scene.pick = Some(item.name());
            }
        }
        let field = egui::TextEdit::singleline(&mut state.search).hint_text("Search").desired_width(160.0);
        let field = ui.add(field);
        field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Search the terminal"));
        if std::mem::take(&mut state.seek) {
            field.request_focus();
        }
        if !state.search.is_empty() {
            ui.label(format!("{} found", state.found.len()));
            // Enter goes to the one above.
            if field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
                let top = state.base - state.back;
                let above = state.found.iter().rev().find(|hit| hit.from.line < top);
                if let Some(hit) = above.or(state.found.last()) {
                    state.back = state.base - hit.from.line;
                }
                field.request_focus();
            }
        }
        if state.back != 0 && ui.button("To the newest").clicked() {
            state.back = 0;
        }
    });
}

fn screen(ui: &mut Ui, state: &mut Session, terminal: &Terminal, types: bool) {
    let shown = terminal.shown();
    let screen = &shown.screen;
    let size = screen.size();
    state.moved(shown.emptied, screen);
    state.seek_in(ui.ctx(), screen, terminal.version());
    let (rect, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    let id = Id::unique("terminal");
    let has_keys = ui.memory(|memory| memory.has_focus(id));
    let sense = if types || has_keys { Sense::click_and_drag() } else { Sense::CLICK | Sense::DRAG };
    let response = ui.interact(rect, id, sense);
    let cell = |points: f32| {
        let font = FontId::monospace(points);
        ui.ctx().fonts_mut(|fonts| vec2(fonts.glyph_width(&font, 'M'), fonts.row_height(&font)))
    };
    let (one, room) = (cell(13.0), rect.size() - vec2(16.0, 16.0));
    let whole = vec2(one.x * f32::from(size.cols), one.y * f32::from(size.rows));
    let points = (13.0 * (room / whole).min_elem()).clamp(POINTS.0, POINTS.1).floor();
    let step = cell(points);
    let origin = rect.min + vec2(8.0, 8.0);
    let painter = ui.painter().with_clip_rect(rect);
    let palette = Palette::new(ui.visuals().dark_mode);
    painter.rect_filled(rect, 6.0, palette.ground);
    let cursor = screen.cursor();
    let part = Part::of(size, cursor.row, room / step);
    state.base = part.base;
    scrolled(ui, state, screen, &part, &response, step);
    let top = part.base - state.back;

    let place_of = |pos: Pos2| {
        let at = (pos - origin) / step;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside the screen")]
        Place {
            line: (at.y.floor() as i32).clamp(0, part.rows - 1) + top,
            col: (state.left + at.x.floor().max(0.0) as usize).min(usize::from(size.cols) - 1),
        }
    };
    if types && (response.drag_started() || response.clicked()) {
        response.request_focus();
    }
    if response.drag_started() {
        // It is known to be a drag only some way from where it began.
        let (from, to) = (ui.input(|input| input.pointer.press_origin()), response.interact_pointer_pos());
        state.selection = from.zip(to).map(|(from, to)| Selection { from: place_of(from), to: place_of(to) });
    } else if response.dragged()
        && let (Some(selection), Some(pos)) = (&mut state.selection, response.interact_pointer_pos())
    {
        selection.to = place_of(pos);
    } else if response.clicked() {
        state.selection = None;
    }

    let mut cells = Vec::new();
    let focused = ui.ctx().memory(|memory| memory.has_focus(id));
    for row in 0..part.rows {
        let line = top + row;
        screen.line(line, &mut cells);
        #[allow(clippy::cast_precision_loss, reason = "rows of a screen")]
        let at = origin + vec2(0.0, row as f32 * step.y);
        let shown = &cells[state.left.min(cells.len())..(state.left + part.cols).min(cells.len())];
        // They stand in the order of their lines.
        let first = state.found.partition_point(|hit| hit.to.line < line);
        let until = first + state.found[first..].partition_point(|hit| hit.from.line <= line);
        let hits = &state.found[first..until];
        let marks = |col: usize, out: &mut String| out.extend(screen.marks(line, col + state.left));
        let runs = line_runs(ui, shown, points, step.x, &palette, marks, |col| {
            let place = Place { line, col: col + state.left };
            if state.selection.is_some_and(|selection| selection.contains(place)) {
                Some(palette.selected)
            } else if hits.iter().any(|hit| hit.contains(place)) {
                Some(palette.found)
            } else {
                None
            }
        });
        let column = |col: usize| {
            #[allow(clippy::cast_precision_loss, reason = "columns of a screen")]
            let x = col as f32 * step.x;
            at + vec2(x, 0.0)
        };
        for run in runs {
            if let Some(ground) = run.ground {
                painter.rect_filled(
                    Rect::from_min_max(column(run.from), column(run.to) + vec2(0.0, step.y)),
                    0.0,
                    ground,
                );
            }
            painter.galley(column(run.from), run.galley, palette.text);
        }
        if cursor.visible && i32::from(cursor.row) == line && usize::from(cursor.col) >= state.left {
            let cursor = Rect::from_min_size(column(usize::from(cursor.col) - state.left), step);
            if focused {
                painter.rect_filled(cursor, 1.0, palette.text.gamma_multiply(0.6));
            } else {
                painter.rect_stroke(cursor, 1.0, Stroke::new(1.0, palette.text), egui::StrokeKind::Inside);
            }
        }
        let text = screen.line_text(line);
        if !text.trim().is_empty() {
            // Each line has its words for those who do not see it.
            let place = Rect::from_min_size(at, vec2(room.x, step.y));
            let words = ui.interact(place, id.with(row), Sense::hover());
            words.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, text.trim()));
        }
    }
    if focused {
        let stroke = Stroke::new(1.5, crate::theme::accent(ui.visuals().dark_mode));
        painter.rect_stroke(rect, 6.0, stroke, egui::StrokeKind::Inside);
    }
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Terminal, true, "Terminal"));
    let modes = screen.modes();
    drop(shown);
    if !focused || !types {
        state.composed.clear();
    }
    if focused && types {
        typed(ui, state, terminal, modes, id);
        // Also if the program hides its cursor, or it has been scrolled out of sight.
        let (row, col) = (i32::from(cursor.row) - top, usize::from(cursor.col).saturating_sub(state.left));
        #[allow(clippy::cast_precision_loss, reason = "cells of a screen")]
        let at = vec2(col.min(part.cols - 1) as f32, row.clamp(0, part.rows - 1) as f32) * step;
        compose(ui, &state.composed, Rect::from_min_size(origin + at, step), rect, points, &palette);
    } else if focused {
        dropped(ui, state, terminal, id);
    } else if ui.memory(|memory| memory.focused().is_none())
        && ui.input(|input| input.events.iter().any(|event| matches!(event, Event::Copy) || copies(event)))
    {
        copy(ui, state, terminal);
    }
}

/// The part of a screen that its place has room for.
struct Part {
    /// The line that is shown first while nobody scrolls: the cursor is seen.
    base: i32,
    /// Lines below the shown ones then.
    below: i32,
    rows: i32,
    cols: usize,
}

impl Part {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cells of a screen")]
    fn of(size: TermSize, cursor: u16, room: egui::Vec2) -> Self {
        let all = i32::from(size.rows);
        let rows = (room.y.floor() as i32).clamp(1, all);
        let cols = (room.x.floor().max(1.0) as usize).min(usize::from(size.cols));
        let base = (i32::from(cursor) + 1 - rows).clamp(0, all - rows);
        Self { base, below: all - rows - base, rows, cols }
    }
}

/// The wheel.
fn scrolled(
    ui: &Ui,
    state: &mut Session,
    screen: &Screen,
    part: &Part,
    response: &egui::Response,
    step: egui::Vec2,
) {
    let history = screen.history();
    if response.contains_pointer() {
        state.turned += ui.input(|input| input.smooth_scroll_delta()) / step;
        let whole = vec2(state.turned.x.trunc(), state.turned.y.trunc());
        state.turned -= whole;
        #[allow(clippy::cast_possible_truncation, reason = "cells of a screen")]
        let (x, y) = (whole.x as isize, whole.y as i32);
        state.back = state.back.saturating_add(y);
        state.left = state.left.saturating_add_signed(-x);
    }
    let most = i32::try_from(history).unwrap_or(i32::MAX);
    state.back = state.back.clamp(-part.below, most.saturating_add(part.base));
    let cursor = usize::from(screen.cursor().col);
    if std::mem::take(&mut state.follow) && !(state.left..state.left + part.cols).contains(&cursor) {
        state.left = (cursor + 1).saturating_sub(part.cols);
    }
    state.left = state.left.min(usize::from(screen.size().cols) - part.cols);
}

/// Ctrl+Shift+C, as in other terminals: it never reaches a program.
fn copies(event: &Event) -> bool {
    let Event::Key { key: Key::C, pressed: true, modifiers, .. } = event else { return false };
    modifiers.matches_exact(Modifiers::CTRL | Modifiers::SHIFT)
}

/// Ctrl+Shift+V or Shift+Insert.
fn pastes(event: &Event) -> bool {
    let Event::Key { key, pressed: true, modifiers, .. } = event else { return false };
    match key {
        Key::V => modifiers.matches_exact(Modifiers::CTRL | Modifiers::SHIFT),
        Key::Insert => modifiers.matches_exact(Modifiers::SHIFT),
        _ => false,
    }
}

/// Copies what is selected, where there is any text in it.
fn copy(ui: &Ui, state: &mut Session, terminal: &Terminal) -> bool {
    let text = state.selection.map(|selection| text_between(&terminal.shown().screen, selection));
    let Some(text) = text.filter(|text| !text.is_empty()) else { return false };
    ui.ctx().copy_text(text);
    state.selection = None;
    true
}

/// Which keys a terminal that has them keeps from the dashboard: all.
const ALL_KEYS: EventFilter =
    EventFilter { tab: true, horizontal_arrows: true, vertical_arrows: true, escape: true };

/// Somebody types, and the node goes away or the session ends. What is typed on was meant for the program: it does nothing, and so
/// does not act on the dashboard either.
fn dropped(ui: &Ui, state: &mut Session, terminal: &Terminal, id: Id) {
    ui.memory_mut(|memory| memory.set_focus_lock_filter(id, ALL_KEYS));
    for event in ui.input(|input| input.filtered_events(&ALL_KEYS)) {
        match event {
            Event::Key { key: Key::Escape, pressed: true, modifiers, .. } if modifiers.shift => {
                return ui.memory_mut(|memory| memory.surrender_focus(id));
            }
            event if matches!(event, Event::Copy) || copies(&event) => _ = copy(ui, state, terminal),
            _ => {}
        }
    }
}

/// Tells the input method where the cursor is, and shows there what it has not committed.
fn compose(ui: &Ui, text: &str, cursor: Rect, terminal: Rect, points: f32, palette: &Palette) {
    let ime = egui::output::IMEOutput {
        purpose: egui::IMEPurpose::Terminal,
        rect: terminal,
        cursor_rect: cursor,
        should_interrupt_composition: false,
    };
    ui.output_mut(|output| output.ime = Some(ime));
    if text.is_empty() {
        return;
    }
    let painter = ui.painter().with_clip_rect(terminal);
    let galley = painter.layout_no_wrap(text.to_owned(), FontId::monospace(points), palette.text);
    // At the end of a line it begins further left, so that its end is seen.
    let left = cursor.left().min(terminal.right() - galley.size().x).max(terminal.left());
    let place = Rect::from_min_size(egui::pos2(left, cursor.top()), galley.size());
    painter.rect_filled(place, 0.0, palette.ground);
    painter.galley(place.min, galley, palette.text);
    painter.hline(place.x_range(), place.bottom(), Stroke::new(1.0, palette.text));
    let words = ui.interact(place, Id::unique("composed"), Sense::hover());
    words.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, text));
}

/// Keys and pasted text, to the session.
fn typed(
    ui: &Ui,
    state: &mut Session,
    terminal: &Terminal,
    modes: cis_core::terminal::screen::Modes,
    id: Id,
) {
    ui.memory_mut(|memory| memory.set_focus_lock_filter(id, ALL_KEYS));
    let (events, mut held) = ui.input(|input| (input.filtered_events(&ALL_KEYS), input.modifiers));
    for event in events {
        // Those of the frame are the last ones: a key that was let go of in the same frame counts for what came before.
        if let Event::Key { modifiers, .. } | Event::ModifiersChanged(modifiers) = &event {
            held = *modifiers;
        }
        let bytes = match event {
            Event::Text(text) => text_bytes(&text, held),
            Event::Ime(ImeEvent::Preedit { text, .. }) => {
                state.composed = text;
                continue;
            }
            Event::Ime(ImeEvent::Commit(text)) => {
                state.composed.clear();
                if text.is_empty() {
                    continue;
                }
                text.into_bytes()
            }
            Event::Paste(text) => paste_bytes(&text, modes),
            // With a selection this copies; without one it is the program's, as at every terminal.
            Event::Copy if copy(ui, state, terminal) => continue,
            Event::Copy => vec![3],
            Event::Cut => vec![0x18],
            event if copies(&event) => {
                copy(ui, state, terminal);
                continue;
            }
            // The window has the clipboard: the text comes with one of the next frames.
            event if pastes(&event) => {
                ui.ctx().send_viewport_cmd(ViewportCommand::RequestPaste);
                continue;
            }
            // The way out for those without a mouse: no program can tell it from Esc.
            Event::Key { key: Key::Escape, pressed, modifiers, .. } if modifiers.shift => {
                if pressed {
                    ui.memory_mut(|memory| memory.surrender_focus(id));
                }
                continue;
            }
            Event::Key { key, pressed: true, modifiers, .. } => match key_bytes(key, modifiers, modes) {
                Some(bytes) => bytes,
                None => continue,
            },
            _ => continue,
        };
        (state.back, state.follow) = (0, true);
        state.refused = !terminal.send(ToSession::Typed(bytes));
    }
}
