//! Copies what can be read of a store, damaged or not.
//!
//! Events are looked for on every page of the file, even if SQLite cannot reach the page: every event whose page is
//! intact is found. Tables that cannot be restored from events are read through SQLite, from both ends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, params, params_from_iter};
use serde_json::value::RawValue;
use ulid::Ulid;

use super::gaps;
use super::is_unknown;
use super::pages::{Field, Pages, Record, View, rows};
use crate::append::insert_stored;
use crate::error::{RowError, StoreError};
use crate::sum::Columns;
use cis_core::event::{Event, EventBody, SCHEMA_VERSION};
use cis_core::ids::{InputId, Offset, RunId};

/// Prefix of all event types.
const TYPE_PREFIX: &str = "cis.dag.";

/// Columns of an event without its checksum.
const COLUMNS: usize = 9;

/// Place of the run among them.
const RUN: usize = 2;

/// Most checksums that are computed to find the runs of altered events. With more of them, one would match by chance.
const TRIES_MAX: usize = 1_000_000;

/// An offset that is larger than the number of events by more than this is damaged.
const OFFSET_SLACK: i64 = 1_000_000;

/// Consecutive events that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostEvents {
    /// Offset of the first.
    pub from: Offset,
    /// Offset of the last.
    pub to: Offset,
    /// Their run.
    pub run: LostOf,
}

/// Owner of lost events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LostOf {
    /// Events of a run.
    Run(RunId),
    /// The node, or a session without a run. No run misses the events.
    Node,
    /// The owner is unknown.
    Unknown,
}

/// A run with the name of its DAG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRun {
    /// Its id.
    pub id: RunId,
    /// Its DAG.
    pub dag: String,
}

/// An event that was found.
#[derive(Debug)]
pub(super) struct Found {
    run: Option<RunId>,
    /// Whether a checksum proves that it is what was written.
    is_proven: bool,
    effect: Effect,
}

/// What an event means for whether its run is open.
#[derive(Debug)]
enum Effect {
    /// The run was created. Its DAG.
    Created(String),
    Reopened,
    Ended,
    Voided,
    Other,
}

/// Events by their offset.
pub(super) type Events = BTreeMap<i64, Found>;

/// The events that were found and those that are lost.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) events: u64,
    pub(super) lost: Vec<LostEvents>,
    /// Events that were found, but are counted among the lost ones, because their run is damaged.
    pub(super) misplaced: Vec<i64>,
    /// Open runs that lack events, or may lack some.
    pub(super) open: Vec<NamedRun>,
    /// Ended runs that lack events.
    pub(super) ended: Vec<NamedRun>,
    /// The end of the table cannot be read, so events may be missing after the last one; their number is
    /// unknown.
    pub(super) end_lost: bool,
}

/// Finds every intact event of the store at `path` and passes it to `keep`, each offset once. Returns the events,
/// and whether transactions of the write-ahead log are lost.
pub(super) fn scan(
    path: &Path,
    keep: &mut dyn FnMut(&Event) -> Result<(), RowError>,
) -> Result<(Events, bool), StoreError> {
    let pages = Pages::open(path).map_err(|e| StoreError::io(path, &e))?;
    let mut found = Events::new();
    let mut take = |found: &mut Events, event: &Event, is_proven: bool| -> Result<(), StoreError> {
        let Some(effect) = effect(event, is_proven) else { return Ok(()) };
        let offset = i64::try_from(event.offset).unwrap_or(i64::MAX);
        let far = i64::try_from(found.len()).unwrap_or(i64::MAX).saturating_mul(4);
        if offset > far.saturating_add(OFFSET_SLACK) {
            return Ok(());
        }
        if let Entry::Vacant(place) = found.entry(offset) {
            keep(event).map_err(|e| e.at(path, "save an event"))?;
            place.insert(Found { run: event.run, is_proven, effect });
        }
        Ok(())
    };
    let mut altered = Vec::new();
    for view in [View::Sound, View::Beyond, View::Replaced] {
        for page in pages.numbers(view) {
            for row in rows_of_events(&rows(&pages, view, page)) {
                match row {
                    Row::Event(event, is_proven) => take(&mut found, &event, is_proven)?,
                    Row::Altered(row) => altered.push(row),
                }
            }
        }
    }
    altered.retain(|row| !found.contains_key(&row.rowid));
    if !altered.is_empty() {
        let runs: HashSet<RunId> = found.values().filter_map(|event| event.run).collect();
        let is_few = altered.len().saturating_mul(runs.len()) <= TRIES_MAX;
        for row in altered.into_iter().filter(|_| is_few) {
            if let Some(event) = row.with_its_run(&runs) {
                take(&mut found, &event, true)?;
            }
        }
    }
    Ok((found, pages.log_damage.is_some()))
}

/// Returns what an event means for its run. `None`: the event is damaged. A newer version, according to the event's
/// version number, may be able to decode what this one cannot.
fn effect(event: &Event, is_proven: bool) -> Option<Effect> {
    match event.decode() {
        Ok(EventBody::RunCreated(facts)) => Some(Effect::Created(facts.dag)),
        Ok(EventBody::RunRetried { .. }) => Some(Effect::Reopened),
        Ok(EventBody::RunVoided {}) => Some(Effect::Voided),
        Ok(
            EventBody::RunCompleted {}
            | EventBody::RunFailed { .. }
            | EventBody::RunErrored { .. }
            | EventBody::RunCancelled {},
        ) => Some(Effect::Ended),
        Ok(_) => Some(Effect::Other),
        Err(error) => is_of_newer(event, &error, is_proven).then_some(Effect::Other),
    }
}

/// Whether a newer version may have written an event that this version cannot decode. Every version that knows more
/// types writes checksums.
pub(super) fn is_of_newer(event: &Event, error: &serde_json::Error, is_proven: bool) -> bool {
    event.v > SCHEMA_VERSION || is_proven && is_unknown(event, error)
}

/// A row of the events table.
enum Row {
    /// An event, and whether its checksum proves that it is what was written: an earlier version wrote none.
    Event(Event, bool),
    Altered(Altered),
}

/// A row whose checksum is that of other values.
struct Altered {
    rowid: i64,
    fields: Vec<Field>,
    sum: i64,
}

impl Altered {
    /// Returns the event if nothing but its run was changed: with the right one of `runs`, or with none, its checksum
    /// matches.
    fn with_its_run(&self, runs: &HashSet<RunId>) -> Option<Event> {
        let columns = columns(self.rowid, &self.fields)?;
        let is_it = |run: Option<&[u8]>| Columns { run, ..columns }.sum() == self.sum;
        let run = if is_it(None) {
            Field::Null
        } else {
            Field::Blob(runs.iter().map(|run| run.0.to_bytes()).find(|run| is_it(Some(run)))?.to_vec())
        };
        let mut fields = self.fields.clone();
        fields[RUN] = run;
        event(self.rowid, &fields)
    }
}

/// Returns the events among the rows of a page. Offsets ascend; a row that breaks the order has a damaged
/// offset.
fn rows_of_events(rows: &[Record]) -> impl Iterator<Item = Row> + '_ {
    rows.iter().enumerate().filter_map(|(n, row)| {
        let before = n.checked_sub(1).map_or(0, |n| rows[n].rowid);
        let after = rows.get(n + 1).map_or(i64::MAX, |row| row.rowid);
        // If only the neighbor's offset is damaged, this row is still in order with the row beyond the
        // neighbor.
        let ordered = (before < row.rowid || n > 1 && rows[n - 2].rowid < row.rowid)
            && (row.rowid < after || rows.get(n + 2).is_some_and(|next| row.rowid < next.rowid));
        row.fields.as_deref().filter(|_| ordered).and_then(|fields| row_of(row.rowid, fields))
    })
}

/// Reads a row of the events table. `None`: it belongs to another table, or is damaged.
fn row_of(rowid: i64, fields: &[Field]) -> Option<Row> {
    let (fields, sum) = match fields {
        [fields @ .., Field::Integer(sum)] if fields.len() == COLUMNS => (fields, Some(*sum)),
        [fields @ .., Field::Null] if fields.len() == COLUMNS => (fields, None),
        fields => (fields, None),
    };
    match sum {
        Some(sum) if columns(rowid, fields)?.sum() != sum => {
            Some(Row::Altered(Altered { rowid, fields: fields.to_vec(), sum }))
        }
        _ => Some(Row::Event(event(rowid, fields)?, sum.is_some())),
    }
}

/// The columns of an event without its checksum.
fn columns(rowid: i64, fields: &[Field]) -> Option<Columns<'_>> {
    let [Field::Null, id, run, Field::Integer(v), kind, Field::Integer(at_ms), actor, cause, body] = fields
    else {
        return None;
    };
    Some(Columns {
        offset: rowid,
        id: id.bytes()?,
        run: run.bytes(),
        v: *v,
        kind: kind.bytes()?,
        at_ms: *at_ms,
        actor: actor.bytes(),
        cause: cause.bytes(),
        body: body.bytes()?,
    })
}

/// Reads an event of such columns.
fn event(rowid: i64, fields: &[Field]) -> Option<Event> {
    let [_, id, run, Field::Integer(v), kind, Field::Integer(at_ms), actor, cause, body] = fields else {
        return None;
    };
    let ulid = |field: &Field| match field {
        Field::Blob(bytes) => bytes.as_slice().try_into().ok().map(|bytes| Some(Ulid::from_bytes(bytes))),
        Field::Null => Some(None),
        _ => None,
    };
    let text = |field: &Field| match field {
        Field::Text(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    };
    let actor = match actor {
        Field::Null => None,
        actor => Some(serde_json::from_str(&text(actor)?).ok()?),
    };
    Some(Event {
        offset: Offset::try_from(rowid).ok().filter(|offset| *offset > 0)?,
        id: ulid(id)??,
        run: ulid(run)?.map(RunId),
        v: u32::try_from(*v).ok()?,
        type_name: text(kind).filter(|kind| kind.starts_with(TYPE_PREFIX))?,
        at_ms: *at_ms,
        actor,
        cause: ulid(cause)?.map(InputId),
        body: RawValue::from_string(text(body)?).ok()?,
    })
}

/// Copies the events of the store at `path`. This process must have no connection to it.
pub(super) fn events(path: &Path, to: &Connection) -> Result<(Events, bool), StoreError> {
    scan(path, &mut |event| insert_stored(to, event))
}

/// Finds the events of the old store that are not among `found`, and the runs that lack events. `old`: none if SQLite
/// cannot open it.
pub(super) fn losses(old: Option<&Connection>, found: &Events, log_torn: bool) -> Saved {
    let newest = found.last_key_value().map_or(0, |(newest, _)| *newest);
    let mut saved = Saved { end_lost: log_torn, ..Saved::default() };
    let (mut forward, whole) = old.map_or((Vec::new(), false), |old| offsets(old, "ASC"));
    // An offset beyond that is damaged, and no sign of a gap before it.
    let limit = newest.saturating_add(OFFSET_SLACK);
    forward.retain(|offset| (1..limit).contains(offset));
    let known = forward.last().copied().unwrap_or(0);
    let gaps = old.and_then(|old| gaps::read(old, "main").ok());
    // Somebody removed these rows, and their entries in the index with them.
    let removed = gaps.as_ref().filter(|_| whole).map(|gaps| gaps::without(&forward, gaps));
    let removed: BTreeSet<i64> = removed.into_iter().flatten().flatten().collect();
    let mut wanted: BTreeSet<i64> = forward.into_iter().chain(removed.iter().copied()).collect();
    let index = old.map(Index::read).unwrap_or_default();
    let of_index = index.runs.keys().copied().filter(|offset| *offset < limit);
    if !whole || known < newest {
        let (backward, _) = old.map_or((Vec::new(), false), |old| offsets(old, "DESC"));
        saved.end_lost |= backward.is_empty();
        let last = backward.first().copied().filter(|end| *end < limit).unwrap_or(0);
        wanted = (1..=newest.max(of_index.clone().max().unwrap_or(0)).max(last)).collect();
        let known_gaps =
            gaps.iter().flatten().flat_map(|(first, last)| (*first).max(1)..=(*last).min(newest));
        for gap in known_gaps {
            wanted.remove(&gap);
        }
    }
    let runs = Runs::of(found);
    let mut lost: BTreeMap<i64, LostOf> = found
        .iter()
        .filter_map(|(offset, event)| Some((*offset, index.misplaced(*offset, event, &runs)?)))
        .collect();
    saved.misplaced = lost.keys().copied().collect();
    saved.events = (found.len() - lost.len()) as u64;
    let is_trusted = index.agrees(found, &saved.misplaced, known);
    if is_trusted {
        // The offset of a row may be damaged, too.
        wanted.extend(of_index);
    }
    for offset in wanted.into_iter().filter(|offset| *offset > 0 && !found.contains_key(offset)) {
        let run = match index.of(offset) {
            [run] if is_trusted || runs.seen.contains(run) => LostOf::Run(*run),
            // Events in the part of the log that SQLite does not read are not in the index either.
            [] if is_trusted && offset <= known && !removed.contains(&offset) => LostOf::Node,
            _ => LostOf::Unknown,
        };
        lost.insert(offset, run);
    }
    for (offset, run) in lost {
        saved.lose(offset, run);
    }
    for (id, run) in runs.created {
        let of_it = saved.lost.iter().any(|lost| lost.run == LostOf::Run(id));
        let named = NamedRun { id, dag: run.dag.to_owned() };
        match run.is_open {
            true if of_it || saved.any_run() => saved.open.push(named),
            false if of_it => saved.ended.push(named),
            _ => {}
        }
    }
    saved
}

/// The runs of the events that were found.
#[derive(Debug, Default)]
struct Runs<'a> {
    /// Runs with the event that created them.
    created: BTreeMap<RunId, RunOf<'a>>,
    /// All runs that an event names.
    seen: HashSet<RunId>,
}

#[derive(Debug)]
struct RunOf<'a> {
    dag: &'a str,
    is_open: bool,
}

impl<'a> Runs<'a> {
    fn of(found: &'a Events) -> Self {
        let mut runs = Self::default();
        for (run, effect) in found.values().filter_map(|event| Some((event.run?, &event.effect))) {
            runs.seen.insert(run);
            match effect {
                Effect::Created(dag) => drop(runs.created.insert(run, RunOf { dag, is_open: true })),
                Effect::Voided => drop(runs.created.remove(&run)),
                Effect::Reopened | Effect::Ended => {
                    if let Some(run) = runs.created.get_mut(&run) {
                        run.is_open = matches!(effect, Effect::Reopened);
                    }
                }
                Effect::Other => {}
            }
        }
        runs
    }
}

/// Reads the offsets of events in this order. Returns whether these are all.
fn offsets(old: &Connection, order: &str) -> (Vec<i64>, bool) {
    let mut found: Vec<i64> = Vec::new();
    let whole =
        each_row(old, &format!("SELECT offset FROM events NOT INDEXED ORDER BY offset {order}"), |row| {
            found.extend(row.get::<_, i64>(0));
        });
    let ordered = order == "DESC" || found.is_sorted_by(|one, next| one < next);
    (found, whole && ordered)
}

/// The run of each event that has one, from an index of the events table. The index stands on other pages than the
/// events, so it is a second copy of their runs.
#[derive(Debug, Default)]
struct Index {
    /// Runs by offset. Only a damaged index has several for one offset.
    runs: BTreeMap<i64, Vec<RunId>>,
    /// Whether all of it could be read.
    is_whole: bool,
}

impl Index {
    fn read(old: &Connection) -> Self {
        let sql = "SELECT offset, run FROM events INDEXED BY events_run WHERE run IS NOT NULL ORDER BY run";
        let mut runs = BTreeMap::<i64, Vec<RunId>>::new();
        let is_whole = each_row(old, sql, |row| {
            if let (Ok(offset), Ok(run)) = (row.get(0), row.get(1)) {
                runs.entry(offset).or_default().push(RunId(Ulid::from_bytes(run)));
            }
        });
        Self { runs, is_whole }
    }

    fn of(&self, offset: i64) -> &[RunId] {
        self.runs.get(&offset).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the run that an event was taken from, if the run in its row is damaged: the index names another run, and no
    /// other event created the run in the row. An event with a checksum has the right run.
    fn misplaced(&self, offset: i64, event: &Found, runs: &Runs<'_>) -> Option<LostOf> {
        let run = event.run.filter(|_| !event.is_proven)?;
        let is_created = runs.created.contains_key(&run);
        match (self.of(offset), &event.effect) {
            ([other], _) if *other == run => None,
            ([other], Effect::Created(_)) if runs.seen.contains(other) => Some(LostOf::Run(*other)),
            _ if is_created => None,
            ([other], _) if runs.created.contains_key(other) => Some(LostOf::Run(*other)),
            _ => Some(LostOf::Unknown),
        }
    }

    /// Whether the index says the same as all events up to `known` that were found.
    fn agrees(&self, found: &Events, misplaced: &[i64], known: i64) -> bool {
        self.is_whole
            && found.iter().all(|(offset, event)| {
                let same = self.of(*offset) == event.run.as_slice();
                same || *offset > known && self.of(*offset).is_empty()
                    || misplaced.binary_search(offset).is_ok()
            })
    }
}

/// Passes rows to `each` until the end or the first unreadable row. Returns whether it reached the end.
fn each_row(conn: &Connection, sql: &str, mut each: impl FnMut(&rusqlite::Row<'_>)) -> bool {
    let Ok(mut read) = conn.prepare(sql) else { return false };
    let Ok(mut rows) = read.query(()) else { return false };
    loop {
        match rows.next() {
            Ok(Some(row)) => each(row),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

impl Saved {
    /// Whether each open run may lack events.
    fn any_run(&self) -> bool {
        self.end_lost || self.lost.iter().any(|lost| lost.run == LostOf::Unknown)
    }

    fn lose(&mut self, offset: i64, run: LostOf) {
        let offset = Offset::try_from(offset).unwrap_or(0);
        match self.lost.last_mut() {
            Some(last) if last.to + 1 == offset && last.run == run => last.to = offset,
            _ => self.lost.push(LostEvents { from: offset, to: offset, run }),
        }
    }
}

/// A table that cannot be restored from events.
struct Kept {
    name: &'static str,
    columns: &'static [&'static str],
    /// Its primary key.
    key: &'static str,
    /// The version of the store that has it first.
    since: u32,
}

/// All such tables, in the order in which they are copied.
const KEPT: &[Kept] = &[
    Kept { name: "meta", columns: &["key", "value"], key: "key", since: 1 },
    Kept { name: "inputs", columns: &["id", "what"], key: "id", since: 1 },
    Kept {
        name: "outbox",
        columns: &["id", "room", "priority", "what", "run", "item", "payload", "due_ms", "tries"],
        key: "id",
        since: 5,
    },
    Kept {
        name: "room_runs",
        columns: &["run", "room", "told", "published", "journal"],
        key: "run",
        since: 5,
    },
    Kept {
        name: "room_messages",
        columns: &["event", "room", "what", "run", "item", "at_ms"],
        key: "event",
        since: 5,
    },
    Kept { name: "rooms", columns: &["room", "incarnation", "seq", "token"], key: "room", since: 5 },
    Kept { name: "held", columns: &["task", "what"], key: "task", since: 7 },
    Kept {
        name: "room_sealed",
        columns: &["room", "event", "sender", "session", "sent_ms"],
        key: "rowid",
        since: 11,
    },
    Kept {
        name: "left_journals",
        columns: &["id", "run", "room", "published", "journal"],
        key: "id",
        since: 11,
    },
];

/// Columns of sessions that cannot be restored from events.
const SESSION_FACTS: Kept =
    Kept { name: "sessions", columns: &["tty", "cols", "rows", "command", "log", "id"], key: "id", since: 1 };

/// Describes what is lost with rows of such a table.
#[must_use]
pub fn lost_with(table: &str) -> &'static str {
    match table {
        "meta" => {
            "when this store was restored from a backup, when a node last restarted after a full disk, and where the home was"
        }
        "inputs" => "which requests were already carried out: a repeated request counts as a new one",
        "outbox" => "messages that waited to be sent to rooms",
        "room_runs" => "which runs are published to which rooms",
        "left_journals" => {
            "how far rooms know runs that they followed once: verification fails for runs that come back there"
        }
        "room_messages" => "which messages in rooms belong to which run: these messages are no longer edited",
        "rooms" => "how far rooms were read",
        "room_sealed" => {
            "which messages in encrypted rooms could not be decrypted yet: they are not read later"
        }
        "held" => "tasks that were executed for other nodes: they run again",
        "sessions" => "commands, sizes and log files of some sessions",
        _ => "everything except the events",
    }
}

/// Copies the tables and columns that cannot be restored from events. Returns the names of damaged tables.
pub(super) fn rest(from: &Connection, to: &Connection) -> Result<Vec<String>, RowError> {
    let mut torn = Vec::new();
    let version: u32 = from.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // An older store lacks newer tables, and loses nothing with them.
    for table in KEPT.iter().filter(|table| table.since <= version) {
        let names = table.columns.join(", ");
        let marks = vec!["?"; table.columns.len()].join(", ");
        let insert = format!("INSERT OR IGNORE INTO {} ({names}) VALUES ({marks})", table.name);
        if !copy(from, "main", Some((to, &insert)), table)? {
            torn.push(table.name.to_owned());
        }
    }
    let update = "UPDATE sessions SET tty = ?1, cols = ?2, rows = ?3, command = ?4, log = ?5 WHERE id = ?6";
    if !copy(from, "main", Some((to, update)), &SESSION_FACTS)? {
        torn.push(SESSION_FACTS.name.to_owned());
    }
    // Ids of the outbox are never used twice: they are known elsewhere.
    let next = from
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'", (), |row| row.get::<_, i64>(0));
    if let Ok(next) = next {
        to.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'", ())?;
        to.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?1)", params![next])?;
    }
    Ok(torn)
}

/// Returns the damaged tables of `schema` that cannot be restored from events.
pub(super) fn torn(from: &Connection, schema: &str) -> Result<Vec<String>, RowError> {
    let mut torn = Vec::new();
    for table in KEPT.iter().chain([&SESSION_FACTS]) {
        if !copy(from, schema, None, table)? {
            torn.push(table.name.to_owned());
        }
    }
    Ok(torn)
}

/// Copies rows from both ends, each until the first unreadable row. Returns whether all rows were copied.
fn copy(
    from: &Connection,
    schema: &str,
    to: Option<(&Connection, &str)>,
    table: &Kept,
) -> Result<bool, RowError> {
    let mut write = to.map(|(to, into)| to.prepare(into)).transpose()?;
    let mut rows_whole = true;
    for order in ["ASC", "DESC"] {
        let Kept { name, columns, key, .. } = table;
        let select = format!("SELECT {} FROM {schema}.{name} ORDER BY {key} {order}", columns.join(", "));
        let mut failed = None;
        let end = each_row(from, &select, |row| {
            let values: Vec<ValueRef<'_>> =
                (0..table.columns.len()).map_while(|n| row.get_ref(n).ok()).collect();
            let is_text = |value: &ValueRef<'_>| match value {
                ValueRef::Text(bytes) => std::str::from_utf8(bytes).is_ok(),
                _ => true,
            };
            if values.len() < table.columns.len() || !values.iter().all(is_text) {
                rows_whole = false;
            } else if let Some(write) = &mut write {
                match write.execute(params_from_iter(values.into_iter().map(ToSqlOutput::Borrowed))) {
                    Ok(_) => {}
                    // A value has another type than its column.
                    Err(error) if is_of_row(&error) => rows_whole = false,
                    Err(error) => failed = Some(error),
                }
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        if end {
            return Ok(rows_whole && order == "ASC");
        }
    }
    Ok(false)
}

/// Whether a row was refused because of its content, and not because of the disk.
pub(super) fn is_of_row(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::Unknown
        ),
        // The value of a column does not have the expected type.
        None => true,
    }
}
