//! Between the parser and the emulator: keeps what the emulator does not tell, bounds what it does
//! not bound, and answers queries.

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::{Dimensions, Scroll};
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, ModifyOtherKeys, NamedMode, NamedPrivateMode,
    PrivateMode, Rgb, StandardCharset, TabulationClearMode,
};
use unicode_width::UnicodeWidthChar;

use super::replies;
use crate::terminal::filter::LINK_BYTES_MAX;

/// More combining characters on one cell are dropped.
const COMBINING_MAX: usize = 8;
/// Titles are cut there, bytes. Less of them is shown: a secret at the end is whole when it is looked for.
const TITLE_KEPT_BYTES_MAX: usize = 8 << 10;
/// More saved titles and keyboard modes are not kept.
const STACK_MAX: usize = 32;

/// What the emulator keeps for itself, or not at all.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Queries are answered.
    pub(super) live: bool,
    pub(super) replies: Vec<u8>,
    pub(super) title: Option<String>,
    titles: Vec<Option<String>>,
    /// Scroll region, where it is not the whole screen: first row and row after the last.
    pub(super) region: Option<(usize, usize)>,
    pub(super) charset: CharsetIndex,
    /// Tab stops, where they are not those of the beginning.
    pub(super) tabs: Option<Vec<bool>>,
    /// The program chose a cursor.
    pub(super) cursor_styled: bool,
    /// The program has changed colours of the palette.
    pub(super) colored: bool,
    /// The program has used the kitty keyboard protocol.
    pub(super) kitty: bool,
    /// XTMODKEYS 4.
    pub(super) modify_other_keys: u8,
    /// Depth of the keyboard stacks of the primary and the alternate screen.
    keyboards: [usize; 2],
    /// Lines that have scrolled into the history, all in all.
    pub(super) scrolled: u64,
}

impl Side {
    pub(super) fn resized(&mut self, cols: usize) {
        self.region = None;
        if let Some(tabs) = &mut self.tabs {
            let old = tabs.len();
            tabs.truncate(cols);
            tabs.extend((old.min(cols)..cols).map(|col| col % 8 == 0));
        }
    }

    /// After RIS. The palette stays, as in the emulator.
    fn reset(&mut self) {
        let (live, colored, kitty, scrolled) = (self.live, self.colored, self.kitty, self.scrolled);
        let replies = std::mem::take(&mut self.replies);
        *self = Self { live, replies, colored, kitty, scrolled, ..Self::default() };
    }
}

pub(super) struct Keep<'a> {
    pub(super) term: &'a mut Term<VoidListener>,
    pub(super) side: &'a mut Side,
}

impl Keep<'_> {
    pub(super) fn reply(&mut self, answer: impl AsRef<str>) {
        if self.side.live {
            replies::push(&mut self.side.replies, answer.as_ref());
        }
    }

    /// A character without width goes to the cell before the cursor; that cell has enough of them.
    fn is_crowded(&self) -> bool {
        let grid = self.term.grid();
        let row = &grid[grid.cursor.point.line];
        let mut column = grid.cursor.point.column;
        if !grid.cursor.input_needs_wrap {
            column.0 = column.0.saturating_sub(1);
        }
        if row[column].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column.0 = column.0.saturating_sub(1);
        }
        row[column].zerowidth().is_some_and(|chars| chars.len() >= COMBINING_MAX)
    }

    /// Does what may scroll, and counts what went into the history, also where that is full. The emulator keeps the
    /// place that is looked at on its line, and nobody looks here: one line above the newest, it tells how far all
    /// has moved. It does so for what scrolls in a region below the first row (`top`) too, from which nothing goes
    /// into the history.
    fn count(&mut self, top: bool, scroll: impl FnOnce(&mut Term<VoidListener>)) {
        scroll(self.term);
        let grid = self.term.grid();
        let offset = match grid.display_offset() {
            // So it is only where there was no history; then all that there is now is new.
            0 => grid.history_size() + 1,
            offset => offset,
        };
        if offset > 1 {
            if top {
                self.side.scrolled += offset as u64 - 1;
            }
            look_above(self.term);
        }
    }

    /// What scrolls does so from the first row on.
    fn scrolls_all(&self) -> bool {
        self.side.region.is_none_or(|(top, _)| top == 0)
    }

    fn tabs(&mut self) -> &mut Vec<bool> {
        let columns = self.term.columns();
        self.side.tabs.get_or_insert_with(|| (0..columns).map(|col| col % 8 == 0).collect())
    }

    fn keyboard_depth(&mut self) -> &mut usize {
        let alternate = self.term.mode().contains(TermMode::ALT_SCREEN);
        &mut self.side.keyboards[usize::from(alternate)]
    }
}

/// Sets the place that is looked at to one line above the newest, where there is one.
pub(super) fn look_above(term: &mut Term<VoidListener>) {
    term.grid_mut().scroll_display(Scroll::Bottom);
    term.grid_mut().scroll_display(Scroll::Delta(1));
}

fn flag(mode: u16) -> Option<TermMode> {
    Some(match mode {
        1 => TermMode::APP_CURSOR,
        6 => TermMode::ORIGIN,
        7 => TermMode::LINE_WRAP,
        25 => TermMode::SHOW_CURSOR,
        1000 => TermMode::MOUSE_REPORT_CLICK,
        1002 => TermMode::MOUSE_DRAG,
        1003 => TermMode::MOUSE_MOTION,
        1004 => TermMode::FOCUS_IN_OUT,
        1005 => TermMode::UTF8_MOUSE,
        1006 => TermMode::SGR_MOUSE,
        1007 => TermMode::ALTERNATE_SCROLL,
        1042 => TermMode::URGENCY_HINTS,
        1049 => TermMode::ALT_SCREEN,
        2004 => TermMode::BRACKETED_PASTE,
        _ => return None,
    })
}

/// Passes calls on as they are.
macro_rules! pass {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(fn $name(&mut self, $($arg: $type),*) {
            Handler::$name(self.term, $($arg),*);
        })*
    };
}

/// Passes calls on that may scroll.
macro_rules! scroll {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(fn $name(&mut self, $($arg: $type),*) {
            self.count(self.scrolls_all(), |term| Handler::$name(term, $($arg),*));
        })*
    };
}

impl Handler for Keep<'_> {
    scroll! {
        linefeed();
        newline();
        scroll_up(rows: usize);
    }

    fn delete_lines(&mut self, count: usize) {
        let top = self.term.grid().cursor.point.line == 0;
        self.count(top, |term| Handler::delete_lines(term, count));
    }

    fn clear_screen(&mut self, mode: ClearMode) {
        self.count(true, |term| Handler::clear_screen(term, mode));
    }

    pass! {
        goto(line: i32, col: usize);
        goto_line(line: i32);
        goto_col(col: usize);
        insert_blank(count: usize);
        move_up(rows: usize);
        move_down(rows: usize);
        move_forward(cols: usize);
        move_backward(cols: usize);
        move_down_and_cr(rows: usize);
        move_up_and_cr(rows: usize);
        put_tab(count: u16);
        backspace();
        carriage_return();
        substitute();
        scroll_down(rows: usize);
        insert_blank_lines(count: usize);
        erase_chars(count: usize);
        delete_chars(count: usize);
        save_cursor_position();
        restore_cursor_position();
        clear_line(mode: LineClearMode);
        reverse_index();
        terminal_attribute(attr: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        decaln();
    }

    fn move_backward_tabs(&mut self, count: u16) {
        Handler::move_backward_tabs(self.term, count);
        // The emulator would still wrap before the next character.
        self.term.grid_mut().cursor.input_needs_wrap = false;
    }

    fn move_forward_tabs(&mut self, count: u16) {
        Handler::move_forward_tabs(self.term, count);
        self.term.grid_mut().cursor.input_needs_wrap = false;
    }

    fn input(&mut self, c: char) {
        if c >= '\u{300}' && c.width() == Some(0) && self.is_crowded() {
            return;
        }
        self.count(self.scrolls_all(), |term| Handler::input(term, c));
    }

    fn set_title(&mut self, title: Option<String>) {
        self.side.title = title.map(|title| {
            let mut plain: String = title.chars().filter(|c| !c.is_control()).collect();
            plain.truncate(plain.floor_char_boundary(TITLE_KEPT_BYTES_MAX));
            plain
        });
    }

    fn push_title(&mut self) {
        if self.side.titles.len() >= STACK_MAX {
            self.side.titles.remove(0);
        }
        self.side.titles.push(self.side.title.clone());
    }

    fn pop_title(&mut self) {
        if let Some(title) = self.side.titles.pop() {
            self.side.title = title;
        }
    }

    fn set_hyperlink(&mut self, link: Option<Hyperlink>) {
        let usable = |text: &str| text.len() <= LINK_BYTES_MAX && !text.chars().any(char::is_control);
        let link = link.filter(|link| usable(&link.uri) && link.id.as_deref().is_none_or(usable));
        Handler::set_hyperlink(self.term, link);
    }

    fn set_cursor_style(&mut self, style: Option<CursorStyle>) {
        self.side.cursor_styled = style.is_some();
        Handler::set_cursor_style(self.term, style);
    }

    fn set_cursor_shape(&mut self, shape: CursorShape) {
        self.side.cursor_styled = true;
        Handler::set_cursor_shape(self.term, shape);
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        if self.heeds(mode) {
            Handler::set_private_mode(self.term, mode);
        }
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        if self.heeds(mode) {
            Handler::unset_private_mode(self.term, mode);
        }
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        let lines = self.term.screen_lines();
        let (first, last) = (top.max(1), bottom.unwrap_or(lines).min(lines));
        // The emulator takes regions of one row, or none, where a region ends below the screen.
        if first < last {
            self.side.region = Some((first - 1, last)).filter(|region| *region != (0, lines));
            Handler::set_scrolling_region(self.term, first, Some(last));
        }
    }

    fn set_active_charset(&mut self, index: CharsetIndex) {
        self.side.charset = index;
        Handler::set_active_charset(self.term, index);
    }

    fn set_horizontal_tabstop(&mut self) {
        let column = self.term.grid().cursor.point.column.0;
        if let Some(tab) = self.tabs().get_mut(column) {
            *tab = true;
        }
        Handler::set_horizontal_tabstop(self.term);
    }

    fn clear_tabs(&mut self, mode: TabulationClearMode) {
        let column = self.term.grid().cursor.point.column.0;
        let tabs = self.tabs();
        match mode {
            TabulationClearMode::Current => tabs.iter_mut().skip(column).take(1).for_each(|tab| *tab = false),
            TabulationClearMode::All => tabs.fill(false),
        }
        Handler::clear_tabs(self.term, mode);
    }

    fn reset_state(&mut self) {
        self.side.reset();
        Handler::reset_state(self.term);
    }

    fn set_color(&mut self, index: usize, color: Rgb) {
        self.side.colored = true;
        Handler::set_color(self.term, index, color);
    }

    fn reset_color(&mut self, index: usize) {
        Handler::reset_color(self.term, index);
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        self.side.kitty = true;
        let depth = self.keyboard_depth();
        if *depth < STACK_MAX {
            *depth += 1;
            Handler::push_keyboard_mode(self.term, mode);
        }
    }

    fn pop_keyboard_modes(&mut self, count: u16) {
        let depth = self.keyboard_depth();
        *depth = depth.saturating_sub(usize::from(count));
        Handler::pop_keyboard_modes(self.term, count);
    }

    fn set_keyboard_mode(&mut self, mode: KeyboardModes, behavior: KeyboardModesApplyBehavior) {
        self.side.kitty = true;
        Handler::set_keyboard_mode(self.term, mode, behavior);
    }

    fn set_modify_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.side.modify_other_keys = match mode {
            ModifyOtherKeys::Reset => 0,
            ModifyOtherKeys::EnableExceptWellDefined => 1,
            ModifyOtherKeys::EnableAll => 2,
        };
    }

    fn identify_terminal(&mut self, prefix: Option<char>) {
        if let Some(answer) = replies::identity(prefix) {
            self.reply(answer);
        }
    }

    fn device_status(&mut self, what: usize) {
        match what {
            5 => self.reply("\x1b[0n"),
            6 => {
                let point = self.term.grid().cursor.point;
                let origin = self.term.mode().contains(TermMode::ORIGIN);
                let top = self.side.region.filter(|_| origin).map_or(0, |(top, _)| top as i32);
                self.reply(format!("\x1b[{};{}R", point.line.0 - top + 1, point.column.0 + 1));
            }
            _ => {}
        }
    }

    fn report_mode(&mut self, mode: Mode) {
        let is_set = |flag| if self.term.mode().contains(flag) { 1 } else { 2 };
        let state = match mode {
            Mode::Named(NamedMode::Insert) => is_set(TermMode::INSERT),
            Mode::Named(NamedMode::LineFeedNewLine) => is_set(TermMode::LINE_FEED_NEW_LINE),
            Mode::Unknown(_) => 0,
        };
        self.reply(format!("\x1b[{};{state}$y", mode.raw()));
    }

    fn report_private_mode(&mut self, mode: PrivateMode) {
        let state = match (mode, flag(mode.raw())) {
            (PrivateMode::Named(NamedPrivateMode::BlinkingCursor), _) => {
                if self.term.cursor_style().blinking { 1 } else { 2 }
            }
            (PrivateMode::Named(NamedPrivateMode::SyncUpdate), _) => 2,
            (_, Some(flag)) => {
                if self.term.mode().contains(flag) {
                    1
                } else {
                    2
                }
            }
            (_, None) => 0,
        };
        self.reply(format!("\x1b[?{};{state}$y", mode.raw()));
    }

    fn dynamic_color_sequence(&mut self, prefix: String, index: usize, end: &str) {
        if let Some(answer) = replies::color(self.term.colors(), &prefix, index, end) {
            self.reply(answer);
        }
    }

    fn text_area_size_chars(&mut self) {
        self.reply(format!("\x1b[8;{};{}t", self.term.screen_lines(), self.term.columns()));
    }

    fn report_keyboard_mode(&mut self) {
        let flags = keyboard_flags(*self.term.mode());
        self.reply(format!("\x1b[?{flags}u"));
    }
}

impl Keep<'_> {
    /// Notes the part of a mode that the emulator does not report. Returns whether the emulator gets the mode: it does not get
    /// 132 columns (DECCOLM), which clear its screen, and which terminals ignore by default.
    fn heeds(&mut self, mode: PrivateMode) -> bool {
        match mode {
            PrivateMode::Named(NamedPrivateMode::BlinkingCursor) => self.side.cursor_styled = true,
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => return false,
            _ => {}
        }
        true
    }
}

/// The kitty keyboard's flags as a number.
pub(super) fn keyboard_flags(mode: TermMode) -> u8 {
    [
        TermMode::DISAMBIGUATE_ESC_CODES,
        TermMode::REPORT_EVENT_TYPES,
        TermMode::REPORT_ALTERNATE_KEYS,
        TermMode::REPORT_ALL_KEYS_AS_ESC,
        TermMode::REPORT_ASSOCIATED_TEXT,
    ]
    .iter()
    .enumerate()
    .map(|(bit, flag)| u8::from(mode.contains(*flag)) << bit)
    .sum()
}
