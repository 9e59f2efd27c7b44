//! The prompt that the session waits at: when it is the same, and when it is over.

use super::candidates::{Candidate, Source};
use super::moving::Motions;
use super::terminal::Reported;
use super::{Arbiter, line};
use crate::event::PromptKind;
use crate::ids::TimestampMs;
use crate::monitor::evidence::{Reader, ReaderHow, ScreenView};
use crate::monitor::keys::TypedKeys;
use crate::monitor::profile::Found;
use crate::monitor::screen::{
    ABOVE_ROWS_MAX, Above, At, Compared, Page, Place, Reach, Shape, Shown, asks, asks_on, ends_asking,
    lists_the_same, menu_of, shape_of, steady, timeless, unboxed,
};
use crate::monitor::verdict::Verdict;

/// A prompt must be gone for so long before it is over, ms: programs paint theirs anew.
const HOLD_MS: i64 = 400;

/// The prompt that the session waits at.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// Who read the terminal then; none: not known.
    pub(super) reader: Option<Waiter>,
    /// Who read a terminal inside then.
    pub(super) inside: Option<Waiter>,
    pub(super) verdict: Verdict,
    /// Of what asks alone; the verdict's is also of what stands above it.
    pub(super) hash: String,
    /// What stands around it; none where nothing is decided by it.
    pub(super) around: Option<Around>,
    /// Rows of the list that it asks about, above the one where it stands.
    pub(super) list_rows: usize,
    pub(super) source: Source,
    pub(super) place: Place,
    pub(super) why: String,
    pub(super) raised_ms: TimestampMs,
    pub(super) typed_ms: Option<TimestampMs>,
    /// What was typed at it could do that much.
    pub(super) keys: TypedKeys,
    /// Bytes that came after something was typed.
    pub(super) answered_bytes: u64,
    pub(super) gone_ms: Option<TimestampMs>,
    /// An answer to it was refused, for the screen is not what was shown with it.
    pub(super) is_outdated: bool,
    /// What the screen showed then, without what moves by itself.
    pub(super) rows: Vec<String>,
}

/// A process that waited when the prompt came.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    pub(super) pid: u32,
    pub(super) name: String,
}

impl Waiter {
    pub(super) fn of(reader: &Reader) -> Self {
        Self { pid: reader.pid, name: reader.name.clone() }
    }
}

/// What stands around a prompt.
#[derive(Debug, Clone)]
pub(super) struct Around {
    /// Above it, as it was when it last was the same: by that it is found again.
    pub(super) above: Above,
    /// What people were shown with it: their answer is for that.
    pub(super) shown: Shown,
    /// Which of its rows moved by themselves then.
    pub(super) motions: Motions,
}

/// The present prompt, looked at again.
pub(super) enum Held {
    /// There is none.
    No,
    Stands,
    /// Something came, and the screen was not looked at since.
    Unknown,
    /// It is gone; at that time it is over, or as soon as another one counts.
    Fading(TimestampMs),
    /// What stands above it is something else; at that time it is over.
    Changing(TimestampMs),
    /// An answer to it was refused: it comes again, with the screen as it is.
    Outdated,
}

impl Standing {
    /// Its text stands in its place. Behind it stands something only where something was typed.
    fn is_at(&self, page: &Page) -> bool {
        match (&self.place, self.source) {
            _ if self.typed_ms.is_some() => page.shows(&self.place),
            (Place::Line { .. }, Source::Line) => {
                [true, false].iter().any(|hidden| line::hash_at(page, *hidden) == self.hash)
            }
            _ => page.untouched(&self.place),
        }
    }

    /// It is a question in a terminal inside that a program paints (tmux), and the cursor is not behind it: what is typed goes to
    /// another program than the one that asks.
    pub(super) fn is_elsewhere(&self, view: &ScreenView) -> bool {
        if !matches!(self.source, Source::Nested { .. }) {
            return false;
        }
        let Place::Row { text } = &self.place else { return true };
        let page = Page::of(view.clone());
        // A pane on the right may go on in the same row.
        let rest = text.strip_prefix(unboxed(&page.lead).trim_end()).map(str::trim_start);
        !view.cursor_visible || !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['│', '┃', '|']))
    }

    /// Somebody typed nothing but keys that move through a list, or mark something in it, and the same list stands there. Options that are
    /// chosen by keys are told anew: from another row, other keys lead to them.
    fn is_moved_in(&self, page: &Page) -> bool {
        let is_list = matches!((&self.place, self.source), (Place::Line { .. }, _) | (_, Source::Menu));
        if !is_list || self.typed_ms.is_none() || !self.verdict.options.is_empty() {
            return false;
        }
        let rows = steady(&page.view.lines);
        match self.keys {
            TypedKeys::Move => lists_the_same(&self.rows, &rows),
            // At `Press any key` a blank is an answer, and the same may be asked again.
            TypedKeys::Mark => rows != self.rows && lists_the_same(&self.rows, &rows),
            TypedKeys::Answer => false,
        }
    }

    /// The same for an answer: nothing stands in its place that could be another question.
    fn takes_answer(&self, page: &Page) -> bool {
        match &self.place {
            Place::Whole => self.around.is_some() || steady(&page.view.lines) == self.rows,
            Place::Line { lead, .. } if self.typed_ms.is_some() => {
                let more = shape_of(&self.behind(page)) == Shape::Strong;
                page.untouched(&self.place) || (!lead.is_empty() && !more && page.shows(&self.place))
            }
            _ => self.is_at(page),
        }
    }

    /// What stands above it is the same in another form: it is compared with that from now on, unless that shows less.
    fn moved(&mut self, now: Option<Above>) {
        if let (Some(around), Some(now)) = (&mut self.around, now)
            && now.shows_all_of(&around.above)
        {
            around.above = now;
        }
    }

    /// What stands between its text and the cursor.
    fn behind(&self, page: &Page) -> String {
        let Place::Line { lead, .. } = &self.place else { return String::new() };
        page.asks().strip_prefix(lead.as_str()).unwrap_or_default().to_owned()
    }
}

impl From<&Standing> for Candidate {
    /// The same prompt, to be told anew.
    fn from(standing: &Standing) -> Self {
        let verdict = Verdict { hash: standing.hash.clone(), ..standing.verdict.clone() };
        Self {
            ready_ms: verdict.since_ms,
            verdict,
            source: standing.source,
            place: standing.place.clone(),
            why: standing.why.clone(),
        }
    }
}

/// The candidate is the prompt that stands there. A secret is asked for anew, whatever the words.
fn is_same(standing: &Standing, next: &Candidate) -> bool {
    let secret = |kind: PromptKind| kind == PromptKind::Password;
    next.verdict.hash == standing.hash && secret(next.verdict.kind) == secret(standing.verdict.kind)
}

/// The candidate was found where the present prompt was, and asks something else. What is typed at a prompt
/// makes none.
fn replaces(standing: &Standing, next: &Candidate) -> bool {
    let there = match (standing.source, next.source) {
        (Source::Nested { .. }, Source::Nested { .. }) | (Source::Report, Source::Report) => {
            standing.typed_ms.is_none()
        }
        _ => next.verdict.hash == standing.hash,
    };
    there && !is_same(standing, next)
}

/// The candidate is a line at the end of the screen, and what stands there was found in another way or was answered: some programs leave
/// their menus, with the answer, above the next question.
fn asks_below(standing: &Standing, next: &Candidate, page: &Page) -> bool {
    let left = match standing.source {
        Source::Menu => true,
        Source::Line => standing.typed_ms.is_some() && is_other_line(&standing.place, &page.line()),
        // An editor asks in a dialog over its text.
        Source::Program => return next.source == Source::Menu && line::has_dialog(page),
        _ => false,
    };
    let is_line = next.source == Source::Line && page.view.cursor_visible && page.at_end();
    left && is_line && !is_same(standing, next) && shape_of(&page.lead) == Shape::Strong
}

/// The first of the rows that say the same, where a program writes its question again from time to time.
fn first_asked(page: &Page, row: usize, lead: &str) -> usize {
    let says = |row: &usize| !lead.is_empty() && timeless(page.row(*row).trim()) == lead;
    let again = (0..row).rev().take_while(says).count();
    row - again
}

/// The line is not the one that was asked at, with something typed there.
fn is_other_line(was: &Place, is: &Place) -> bool {
    match (was, is) {
        (Place::Line { above, lead }, Place::Line { above: now_above, lead: now }) => {
            if lead.is_empty() {
                above != now_above
            } else {
                !now.starts_with(lead.as_str())
            }
        }
        _ => false,
    }
}

impl Arbiter {
    /// Whether the prompt of the present verdict stands on this screen as it was shown to people: what an answer must find in
    /// the moment that it is typed. Where it is the same prompt, and its screen is not, it is over, and comes again as another
    /// one.
    #[must_use]
    pub fn holds(&mut self, view: &ScreenView, now: TimestampMs) -> bool {
        let page = Page::of(view.clone());
        if !self.stands_on(&page) {
            return false;
        }
        let shows_the_same = self.shows_the_same(&page, now);
        if !shows_the_same && let Some(standing) = &mut self.standing {
            standing.is_outdated = true;
            self.screen(view.clone(), now);
        }
        shows_the_same
    }

    /// Whether the rows above the present prompt are those that people were shown: what the rest of an answer must find after its first
    /// keys, which move what the prompt itself shows.
    #[must_use]
    pub fn holds_above(&self, view: &ScreenView, now: TimestampMs) -> bool {
        let page = Page::of(view.clone());
        let Some(standing) = &self.standing else { return false };
        let Some(around) = &standing.around else { return true };
        let Some(reach) = self.reach_of(standing, &page) else { return false };
        let moved = self.movement(around, &standing.hash, now);
        self.compare_above(standing, Some(&Above::of(&page, reach))) != Compared::Different
            && around.shown.is_same_above(&Shown::of(&page, reach), now - standing.raised_ms, moved)
    }

    /// The same of all rows but that of the present prompt's line, at which something was typed.
    #[must_use]
    pub fn holds_around(&self, view: &ScreenView, now: TimestampMs) -> bool {
        self.standing.is_some() && self.shows_the_same(&Page::of(view.clone()), now)
    }

    /// Whether the prompt stands on the page, whatever stands around it.
    fn stands_on(&self, page: &Page) -> bool {
        let Some(standing) = &self.standing else { return false };
        match standing.source {
            Source::Rule => self.profile.read(page).is_some_and(|found| found.hash == standing.hash),
            Source::Menu => line::menu_hash(page).as_ref() == Some(&standing.hash),
            Source::Program => self.is_still(standing.verdict.kind, page),
            Source::Line | Source::Nested { .. } | Source::Report | Source::Marker | Source::Stalled => {
                standing.takes_answer(page)
            }
        }
    }

    /// Whether the page shows what people were shown. What somebody typed at a line shows there, too.
    fn shows_the_same(&self, page: &Page, now: TimestampMs) -> bool {
        let Some(standing) = &self.standing else { return true };
        let Some(around) = &standing.around else { return true };
        let typed_line = standing.typed_ms.is_some() && matches!(standing.place, Place::Line { .. });
        let Some(reach) = self.reach_of(standing, page) else { return false };
        if self.compare_above(standing, Some(&Above::of(page, reach))) == Compared::Different {
            return false;
        }
        let moved = self.movement(around, &standing.hash, now);
        let typed_row = typed_line.then_some(standing.list_rows);
        around.shown.is_same(&Shown::of(page, reach), now - standing.raised_ms, typed_row, moved)
    }

    /// Tells which rows around a prompt only moved by themselves from the one text to the other, as they did when it was shown.
    fn movement(&self, around: &Around, hash: &str, now: TimestampMs) -> impl Fn(At, &str, &str) -> bool {
        let present = self.moving.motions(hash, now);
        move |at, was, is| {
            let at = around.shown.nearest(at);
            around.motions.at(at).explains(was, is) && present.at(at).explains(was, is)
        }
    }

    /// The rows above a prompt that are shown with it. None where nothing is compared.
    pub(super) fn reach(
        &self,
        source: Source,
        place: &Place,
        kind: PromptKind,
        page: &Page,
    ) -> Option<Reach> {
        use PromptKind::{Editor, Pager, Stalled};
        if matches!(kind, Editor | Pager | Stalled) {
            return None;
        }
        if *place == Place::Whole {
            let row = page.end();
            return (source == Source::Report).then_some(Reach { row, rows: row, boxed: None });
        }
        let row = page.row_of(place);
        let from = |row: usize| Reach { row, rows: ABOVE_ROWS_MAX, boxed: None };
        Some(match source {
            Source::Rule => self.profile.read(page)?.above?,
            Source::Menu => from(menu_of(page)?.row),
            Source::Line | Source::Report | Source::Marker => match place {
                Place::Line { lead, .. } => from(first_asked(page, line::first_row(page, row?), lead)),
                _ => from(row?),
            },
            Source::Nested { .. } => Reach { boxed: row, ..from(row?) },
            Source::Program | Source::Stalled => return None,
        })
    }

    /// Where the rows above the present prompt stand on this page.
    fn reach_of(&self, standing: &Standing, page: &Page) -> Option<Reach> {
        let Standing { source, place, verdict, .. } = standing;
        match place {
            // What is typed at it hides its list.
            Place::Line { .. } if standing.typed_ms.is_some() => {
                let row = page.row_of(place)?.saturating_sub(standing.list_rows);
                Some(Reach { row, rows: ABOVE_ROWS_MAX, boxed: None })
            }
            _ => self.reach(*source, place, verdict.kind, page),
        }
    }

    /// A session at rest, or a full screen that waits for keys, such as a list: it may be updated all the while.
    fn asks_nothing(&self, verdict: &Verdict) -> bool {
        let hides_cursor = || self.cells.page.as_ref().is_some_and(|page| !page.view.cursor_visible);
        match verdict.kind {
            PromptKind::Idle => true,
            PromptKind::Question => verdict.options.is_empty() && !asks(&verdict.question) && hides_cursor(),
            _ => false,
        }
    }

    /// Compares what stands above the present prompt with what stood there when it came.
    fn compare_above(&self, standing: &Standing, now: Option<&Above>) -> Compared {
        match (&standing.around, now) {
            // Nothing is decided there: only an answer is for what was shown.
            _ if self.asks_nothing(&standing.verdict) => Compared::Same,
            (None, _) => Compared::Same,
            (Some(_), None) => Compared::Different,
            (Some(then), Some(now)) => then.above.compare(now, |at, was, is| {
                let known = then.shown.nearest(At::Above(at));
                (then.motions.at(known).explains(was, is) && self.moving.goes_on(&standing.hash, known))
                    || self.moving.is_alike(&standing.hash, at, was, is)
            }),
        }
    }

    /// Looks at what stands above the prompt that a rule found, or at which it waits. Gives whether that changed,
    /// and not only what moves by itself.
    pub(super) fn look_above(&mut self, found: Option<&Found>, page: &Page, now: TimestampMs) -> bool {
        let waits = found.and_then(|found| Some((found, found.above?)));
        let (hash, reach) = match (waits, &self.standing) {
            (_, Some(standing)) if standing.source != Source::Rule => {
                (standing.hash.clone(), self.reach_of(standing, page))
            }
            (Some((found, reach)), _) => (found.hash.clone(), Some(reach)),
            (None, Some(_)) => return false,
            (None, None) => {
                self.look_above_expected(page, now);
                return false;
            }
        };
        let Some(reach) = reach else { return false };
        let (above, shown) = (Above::of(page, reach), Shown::of(page, reach));
        if self.standing.is_some() {
            self.moving.look(&hash, above, shown, now)
        } else {
            self.moving.expect(&hash, above, shown, now)
        }
    }

    /// Looks at what stands above a question that counts only after it has stood for a while. If rows move there before its raise,
    /// their next change makes no second prompt.
    fn look_above_expected(&mut self, page: &Page, now: TimestampMs) {
        let Some(Candidate { source, place, verdict, .. }) = self.expected_while_it_moves(now) else {
            return;
        };
        if let Some(reach) = self.reach(source, &place, verdict.kind, page) {
            self.moving.expect(&verdict.hash, Above::of(page, reach), Shown::of(page, reach), now);
        }
    }

    /// Whether the prompt that it waits at is still there.
    pub(super) fn still_stands(&mut self, next: Option<&Candidate>, now: TimestampMs) -> Held {
        let Some(standing) = &self.standing else { return Held::No };
        let now_above = self.moving.above(&standing.hash);
        // What is typed at a line may change what stands above it, and is no other prompt.
        let typed_line = standing.typed_ms.is_some() && matches!(standing.place, Place::Line { .. });
        let compared = match now_above {
            Some(_) if !typed_line => self.compare_above(standing, now_above),
            _ => Compared::Same,
        };
        let differs = compared == Compared::Different;
        let moved = now_above.filter(|_| compared == Compared::Moved).cloned();
        let same = next.is_some_and(|next| is_same(standing, next));
        if same && !differs && !standing.is_outdated && !self.asked_anew(standing) {
            if let Some(standing) = &mut self.standing {
                standing.gone_ms = None;
                standing.moved(moved);
            }
            return Held::Stands;
        }
        let reported = self.terminal.report.as_ref();
        let works = reported
            .is_some_and(|report| report.says == Reported::Working && report.at_ms >= standing.raised_ms);
        let Some(page) = self.cells.present().filter(|_| !works) else {
            return if works { Held::Fading(now) } else { Held::Unknown };
        };
        if standing.is_outdated {
            return Held::Outdated;
        }
        let replaced = next.is_some_and(|next| replaces(standing, next) || asks_below(standing, next, page))
            && !standing.is_moved_in(page);
        let gone = replaced || self.is_gone(standing, page);
        let Some(standing) = &mut self.standing else { return Held::No };
        if !gone && !differs {
            standing.gone_ms = None;
            standing.moved(moved);
            return Held::Stands;
        }
        let since = *standing.gone_ms.get_or_insert(now);
        if gone { Held::Fading(since + HOLD_MS) } else { Held::Changing(since + self.moving.hold_ms(since)) }
    }

    /// Whether the candidate is the prompt that it waits at.
    pub(super) fn is_standing(&self, candidate: &Candidate) -> bool {
        self.standing.as_ref().is_some_and(|standing| is_same(standing, candidate))
    }

    /// The prompt that it waits at stands there with something else around it: as it is to be told anew, also where it would not
    /// count yet for what moves there.
    pub(super) fn again(&self, others: Vec<Candidate>) -> Option<Candidate> {
        let (standing, page) = (self.standing.as_ref()?, self.cells.present()?);
        if self.is_gone(standing, page) {
            return None;
        }
        let offers = standing.around.as_ref().map(|around| around.shown.below());
        let offers_the_same = offers == self.moving.below(&standing.hash);
        let same = others.into_iter().find(|other| is_same(standing, other));
        same.or_else(|| offers_the_same.then(|| standing.into()))
    }

    /// The prompt was found by its look, who reads does not sit in a read, and right above it stands something else: the program
    /// may have gone on, and asked the same again.
    pub(super) fn may_have_gone_on(&self) -> bool {
        let Some(standing) = self.standing.as_ref().filter(|standing| standing.source == Source::Line) else {
            return false;
        };
        let polls = self.kernel.own().is_none_or(|reader| reader.how == ReaderHow::Poll);
        polls && self.cells.present().is_none_or(|page| page.line() != standing.place)
    }

    fn is_gone(&self, standing: &Standing, page: &Page) -> bool {
        let reads = self.kernel.at_ms.is_none_or(|at| at <= standing.raised_ms) || self.kernel.anybody();
        match standing.source {
            Source::Rule => {
                let found = self.found.as_ref().map(|(found, _)| found);
                found.is_none_or(|found| found.hash != standing.hash)
            }
            Source::Menu => {
                let is_other = line::menu_hash(page).as_ref() != Some(&standing.hash);
                !reads || (is_other && !standing.is_moved_in(page))
            }
            Source::Program => !reads || !self.is_still(standing.verdict.kind, page),
            Source::Line => {
                let is_other =
                    !standing.is_at(page) || self.asked_anew(standing) || self.asks_on(standing, page);
                !reads || (is_other && !standing.is_moved_in(page))
            }
            Source::Nested { pid } => self.kernel.sits_since(pid).is_none() || !standing.is_at(page),
            Source::Report => {
                let reported = matches!(&self.terminal.report, Some(report) if matches!(report.says, Reported::Waits(_) | Reported::Idle));
                let moved = standing.typed_ms.is_some_and(|typed| self.cells.steady_ms >= typed);
                !reported || !standing.is_at(page) || (standing.place == Place::Whole && moved)
            }
            Source::Marker => self.asked_by_marker().as_ref() != Some(&standing.hash),
            Source::Stalled => self.cells.steady_ms > standing.raised_ms,
        }
    }

    /// Behind what was asked stands another question. Where the terminal shows what is typed, one that only ends like a question may be
    /// somebody's words.
    fn asks_on(&self, standing: &Standing, page: &Page) -> bool {
        let behind = standing.behind(page);
        let ends = || ends_asking(behind.trim_end()) && !self.collects_lines();
        standing.verdict.kind != PromptKind::Idle && (ends() || asks_on(&behind))
    }

    /// Something was typed, the program wrote at least its prompt again, and it stands there untouched:
    /// the same question, asked once more.
    fn asked_anew(&self, standing: &Standing) -> bool {
        let (Some(_), Place::Line { lead, .. }) = (standing.typed_ms, &standing.place) else { return false };
        let again = standing.answered_bytes > lead.len().max(2) as u64;
        again && self.cells.present().is_some_and(|page| page.asks() == *lead && !standing.is_moved_in(page))
    }
}
