//! A session's terminal: what its screen shows, what scrolled out of it, and what is typed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cis_core::ids::SessionId;
use cis_core::terminal::screen::{Colour, Drawn, Screen, Style};
use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{
    self, Color32, Event, EventFilter, FontId, Id, Key, Pos2, Rect, RichText, Sense, Stroke, Ui, vec2,
};

use super::{Go, Scene};
use crate::command::Command;
use crate::terminal::{
    Place, Selection, Standing, Terminal, ToSession, find, key_bytes, paste_bytes, text_between,
};
use crate::widgets::empty;

/// So many finds are marked.
const FOUND_MAX: usize = 2_000;

/// What goes on changing is searched at most once in this time.
const FIND_EVERY: Duration = Duration::from_millis(250);

/// What is looked at.
#[derive(Debug, Default)]
pub struct Session {
    terminal: Option<Arc<Terminal>>,
    /// Lines above the newest screen.
    back: i32,
    selection: Option<Selection>,
    search: String,
    found: Vec<Selection>,
    found_at: u64,
    found_for: String,
    /// Not searched again before.
    found_next: Option<Instant>,
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
            return self.found_for.clear();
        }
        let same = self.search == self.found_for;
        if same && self.found_at == version {
            return;
        }
        let now = Instant::now();
        if same && let Some(wait) = self.found_next.and_then(|next| next.checked_duration_since(now)) {
            return ctx.request_repaint_after(wait);
        }
        self.found = find(screen, &self.search, FOUND_MAX);
        (self.found_for, self.found_at) = (self.search.clone(), version);
        self.found_next = Some(now + FIND_EVERY.max(now.elapsed() * 10));
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
    let standing = terminal.shown().standing.clone();
    match standing {
        Standing::Opening => return empty(ui, "Opening…", "The session's terminal is on its way."),
        Standing::Refused(problem) => {
            let hint = problem.hint.clone().unwrap_or_else(|| "Its run may be gone.".to_owned());
            return empty(ui, &problem.detail, &hint);
        }
        Standing::Live { .. } | Standing::Away | Standing::Ended { .. } => {}
    }
    screen(ui, state, &terminal);
}

fn head(ui: &mut Ui, state: &mut Session, terminal: &Terminal, scene: &mut Scene<'_>) {
    ui.horizontal(|ui| {
        let of = scene.model.sessions.iter().find(|known| known.id == terminal.session);
        if ui.button("Back").on_hover_text("Back (Esc, while the terminal does not take the keys)").clicked()
        {
            scene.go = Some(of.and_then(|of| of.run).map_or(Go::Runs, Go::Run));
        }
        ui.label(RichText::new(format!("Session {}", terminal.session.short())).heading());
        let word = match &terminal.shown().standing {
            Standing::Opening => "opening".to_owned(),
            Standing::Live { read_only: true } => "live, only to look at".to_owned(),
            Standing::Live { read_only: false } => "live: click into it to type".to_owned(),
            Standing::Away => "the node is away; tried again by itself".to_owned(),
            Standing::Ended { detail } => format!("over: {detail}"),
            Standing::Refused(_) => String::new(),
        };
        ui.label(RichText::new(word).weak());
        if let Some(item) = scene.model.inbox.of_session(terminal.session) {
            let title = super::inbox::title(item);
            if ui.button(format!("Answer: {title}")).clicked() {
                scene.go = Some(Go::Inbox);
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
                let above = state.found.iter().rev().find(|hit| hit.from.line < -state.back);
                if let Some(hit) = above.or(state.found.last()) {
                    state.back = (-hit.from.line).max(0);
                }
                field.request_focus();
            }
        }
        if state.back > 0 && ui.button("To the newest").clicked() {
            state.back = 0;
        }
    });
}

fn screen(ui: &mut Ui, state: &mut Session, terminal: &Terminal) {
    let shown = terminal.shown();
    let screen = &shown.screen;
    let size = screen.size();
    state.seek_in(ui.ctx(), screen, terminal.version());
    let (rect, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    let id = Id::unique("terminal");
    let response = ui.interact(rect, id, Sense::click_and_drag());
    // All of the screen is seen: what is larger than the place for it is drawn smaller.
    let cell = |points: f32| {
        let font = FontId::monospace(points);
        ui.ctx().fonts_mut(|fonts| vec2(fonts.glyph_width(&font, 'M'), fonts.row_height(&font)))
    };
    let one = cell(13.0);
    let whole = vec2(one.x * f32::from(size.cols), one.y * f32::from(size.rows));
    let points = (13.0 * ((rect.size() - vec2(16.0, 16.0)) / whole).min_elem()).clamp(4.0, 16.0).floor();
    let step = cell(points);
    let origin = rect.min + vec2(8.0, 8.0);
    let painter = ui.painter().with_clip_rect(rect);
    let palette = Palette::new(ui.visuals().dark_mode);
    painter.rect_filled(rect, 6.0, palette.ground);

    let most = i32::try_from(screen.history()).unwrap_or(i32::MAX);
    if response.hovered() {
        let lines = ui.input(|input| input.smooth_scroll_delta().y) / step.y;
        #[allow(clippy::cast_possible_truncation, reason = "lines of a screen")]
        let lines = lines.round() as i32;
        state.back = (state.back + lines).clamp(0, most);
    }
    state.back = state.back.min(most);
    let place_of = |pos: Pos2| {
        let at = (pos - origin) / step;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside the screen")]
        Place {
            line: (at.y.floor() as i32).clamp(0, i32::from(size.rows) - 1) - state.back,
            col: (at.x.floor().max(0.0) as usize).min(usize::from(size.cols) - 1),
        }
    };
    if response.drag_started() {
        state.selection =
            response.interact_pointer_pos().map(|pos| Selection { from: place_of(pos), to: place_of(pos) });
    } else if response.dragged()
        && let (Some(selection), Some(pos)) = (&mut state.selection, response.interact_pointer_pos())
    {
        selection.to = place_of(pos);
    } else if response.clicked() {
        state.selection = None;
        response.request_focus();
    }

    let mut cells = Vec::new();
    let focused = ui.ctx().memory(|memory| memory.has_focus(id));
    let cursor = screen.cursor();
    for row in 0..size.rows {
        let line = i32::from(row) - state.back;
        screen.line(line, &mut cells);
        let at = origin + vec2(0.0, f32::from(row) * step.y);
        if at.y > rect.bottom() {
            break;
        }
        // They stand in the order of their lines.
        let first = state.found.partition_point(|hit| hit.to.line < line);
        let until = first + state.found[first..].partition_point(|hit| hit.from.line <= line);
        let hits = &state.found[first..until];
        let job = line_job(&cells, points, &palette, |col| {
            let place = Place { line, col };
            if state.selection.is_some_and(|selection| selection.contains(place)) {
                Some(palette.selected)
            } else if hits.iter().any(|hit| hit.contains(place)) {
                Some(palette.found)
            } else {
                None
            }
        });
        let galley = ui.ctx().fonts_mut(|fonts| fonts.layout_job(job));
        painter.galley(at, galley, palette.text);
        if state.back == 0 && cursor.visible && cursor.row == row {
            let cursor = Rect::from_min_size(at + vec2(f32::from(cursor.col) * step.x, 0.0), step);
            if focused {
                painter.rect_filled(cursor, 1.0, palette.text.gamma_multiply(0.6));
            } else {
                painter.rect_stroke(cursor, 1.0, Stroke::new(1.0, palette.text), egui::StrokeKind::Inside);
            }
        }
    }
    response.widget_info(|| {
        let text: String = (0..i32::from(size.rows)).map(|line| screen.line_text(line) + "\n").collect();
        let mut info = egui::WidgetInfo::labeled(egui::Role::Terminal, true, "Terminal");
        info.current_text_value = Some(text.trim_end().to_owned());
        info
    });
    let modes = screen.modes();
    let copied = state.selection.map(|selection| text_between(screen, selection));
    drop(shown);
    if focused {
        typed(ui, state, terminal, modes, copied.as_deref(), id);
    }
}

/// Keys and pasted text, to the session.
fn typed(
    ui: &Ui,
    state: &mut Session,
    terminal: &Terminal,
    modes: cis_core::terminal::screen::Modes,
    copied: Option<&str>,
    id: Id,
) {
    let filter = EventFilter { tab: true, horizontal_arrows: true, vertical_arrows: true, escape: true };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
    let events = ui.input(|input| input.filtered_events(&filter));
    for event in events {
        let bytes = match event {
            Event::Text(text) => text.into_bytes(),
            Event::Paste(text) => paste_bytes(&text, modes),
            // With a selection this copies; without one it is the program's, as at every terminal.
            Event::Copy => match copied.filter(|text| !text.is_empty()) {
                Some(text) => {
                    ui.ctx().copy_text(text.to_owned());
                    state.selection = None;
                    continue;
                }
                None => vec![3],
            },
            Event::Cut => vec![0x18],
            Event::Key { key, pressed: true, modifiers, .. } => match key_bytes(key, modifiers, modes) {
                Some(bytes) => bytes,
                None => continue,
            },
            _ => continue,
        };
        state.back = 0;
        terminal.send(ToSession::Typed(bytes));
    }
}

fn line_job(
    cells: &[Drawn],
    points: f32,
    palette: &Palette,
    marked: impl Fn(usize) -> Option<Color32>,
) -> LayoutJob {
    let mut job = LayoutJob { wrap: egui::text::TextWrapping::no_max_width(), ..LayoutJob::default() };
    let mut run = String::new();
    let mut style: Option<(Style, Option<Color32>)> = None;
    let mut skip = false;
    for (col, cell) in cells.iter().enumerate() {
        if std::mem::replace(&mut skip, cell.wide) {
            continue;
        }
        let next = (cell.style, marked(col));
        if style != Some(next)
            && let Some(before) = style.replace(next)
        {
            job.append(&run, 0.0, palette.format(before, points));
            run.clear();
        }
        run.push(cell.c);
    }
    if let Some(last) = style {
        job.append(&run, 0.0, palette.format(last, points));
    }
    job
}

/// Colours of a terminal.
struct Palette {
    text: Color32,
    ground: Color32,
    selected: Color32,
    found: Color32,
    dark: bool,
}

impl Palette {
    fn new(dark: bool) -> Self {
        let (text, ground) = if dark {
            (Color32::from_rgb(0xd9, 0xdd, 0xe3), Color32::from_rgb(0x10, 0x12, 0x17))
        } else {
            (Color32::from_rgb(0x1f, 0x24, 0x2c), Color32::WHITE)
        };
        let selected = crate::theme::accent(dark).gamma_multiply(0.5);
        Self { text, ground, selected, found: Color32::from_rgb(0x8a, 0x6d, 0x1d), dark }
    }

    fn format(&self, (style, marked): (Style, Option<Color32>), points: f32) -> TextFormat {
        let mut color = self.colour(style.text, style.bold);
        if style.dim {
            color = color.gamma_multiply(0.6);
        }
        let background = marked.unwrap_or_else(|| match style.ground {
            Colour::Ground => Color32::TRANSPARENT,
            other => self.colour(other, false),
        });
        let line = |on: bool| if on { Stroke::new(1.0, color) } else { Stroke::NONE };
        TextFormat {
            font_id: FontId::monospace(points),
            color,
            background,
            italics: style.italic,
            underline: line(style.underline),
            strikethrough: line(style.strike),
            ..TextFormat::default()
        }
    }

    fn colour(&self, colour: Colour, bold: bool) -> Color32 {
        match colour {
            Colour::Text => self.text,
            Colour::Ground => self.ground,
            Colour::Rgb(r, g, b) => Color32::from_rgb(r, g, b),
            Colour::Indexed(index) => {
                let index = if bold && index < 8 { index + 8 } else { index };
                indexed(index, self.dark)
            }
        }
    }
}

/// Of the palette of 256: 16 colours, a cube, and greys (xterm's `256colres`).
fn indexed(index: u8, dark: bool) -> Color32 {
    const DARK: [u32; 16] = [
        0x002b_3039,
        0x00f8_5149,
        0x003f_b950,
        0x00d2_9922,
        0x0058_a6ff,
        0x00bc_8cff,
        0x0039_c5cf,
        0x00b1_bac4,
        0x006e_7681,
        0x00ff_7b72,
        0x0056_d364,
        0x00e3_b341,
        0x0079_c0ff,
        0x00d2_a8ff,
        0x0056_d4dd,
        0x00ff_ffff,
    ];
    const LIGHT: [u32; 16] = [
        0x0024_292f,
        0x00cf_222e,
        0x0011_6329,
        0x007d_4e00,
        0x0009_69da,
        0x0082_50df,
        0x001b_7c83,
        0x006e_7781,
        0x0057_606a,
        0x00a4_0e26,
        0x001a_7f37,
        0x0063_3c01,
        0x0021_8bff,
        0x00a4_75f9,
        0x0031_92aa,
        0x008c_959f,
    ];
    match index {
        0..=15 => {
            let [_, r, g, b] = (if dark { DARK } else { LIGHT })[usize::from(index)].to_be_bytes();
            Color32::from_rgb(r, g, b)
        }
        16..=231 => {
            let at = index - 16;
            let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            Color32::from_rgb(step(at / 36), step(at / 6 % 6), step(at % 6))
        }
        grey => Color32::from_gray(8 + 10 * (grey - 232)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_that_of_terminals() {
        assert_eq!(indexed(16, true), Color32::BLACK);
        assert_eq!(indexed(231, true), Color32::WHITE);
        assert_eq!(indexed(196, true), Color32::from_rgb(255, 0, 0));
        assert_eq!(indexed(255, false), Color32::from_gray(238));
    }
}
