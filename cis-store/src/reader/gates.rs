//! The node's groups, and the outputs of tasks with `foreach`.

use std::collections::{BTreeMap, HashMap};

use rusqlite::params;
use serde_json::Value;

use super::Reader;
use crate::error::StoreError;
use crate::values::json;
use cis_core::api::TaskView;
use cis_core::dag::Group;
use cis_core::event::{ArtifactRecord, TaskState};
use cis_core::event::{Uploaded, UploadedLog};
use cis_core::ids::{RunId, TaskId};

impl Reader {
    /// The groups that commands made.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn node_groups(&self) -> Result<BTreeMap<String, Group>, StoreError> {
        self.view("read the groups", |conn| {
            let mut read = conn.prepare_cached("SELECT name, places, frees_when_blocked FROM node_groups")?;
            let rows = read.query_map((), |row| {
                Ok((row.get(0)?, Group { limit: row.get(1)?, frees_when_blocked: row.get(2)? }))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Files that the last success of a task left, sorted by path; none where there is no such task.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn artifacts(&self, run: RunId, task: &TaskId) -> Result<Vec<ArtifactRecord>, StoreError> {
        self.view("read the artifacts of a task", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT f.artifacts FROM tasks t JOIN runs r ON r.key = t.run
                    JOIN task_artifacts f ON f.run = t.run AND f.idx = t.idx
                 WHERE r.id = ?1 AND t.id = ?2",
            )?;
            let mut rows = read.query(params![run.0.to_bytes(), task.as_str()])?;
            match rows.next()? {
                Some(row) => json(row, 0),
                None => Ok(Vec::new()),
            }
        })
    }

    /// The list of those files, where they were uploaded for other nodes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn uploaded_files(&self, run: RunId, task: &TaskId) -> Result<Option<Uploaded>, StoreError> {
        self.view("read where the artifacts of a task are", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT json_extract(body, '$.files') FROM events
                 WHERE run = ?1 AND type = 'cis.dag.task.result' AND json_extract(body, '$.task') = ?2
                     AND json_extract(body, '$.files') IS NOT NULL
                 ORDER BY offset DESC LIMIT 1",
            )?;
            let mut rows = read.query(params![run.0.to_bytes(), task.as_str()])?;
            match rows.next()? {
                Some(row) => Ok(json(row, 0)?),
                None => Ok(None),
            }
        })
    }
}

impl Reader {
    /// Where the log of an attempt is, where it was uploaded for other nodes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn uploaded_log(
        &self,
        run: RunId,
        task: &TaskId,
        attempt: u32,
    ) -> Result<Option<UploadedLog>, StoreError> {
        self.view("read where the log of an attempt is", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT json_extract(body, '$.log') FROM events
                 WHERE run = ?1 AND type = 'cis.dag.task.result' AND json_extract(body, '$.task') = ?2
                     AND json_extract(body, '$.attempt') = ?3 AND json_extract(body, '$.log') IS NOT NULL
                 ORDER BY offset DESC LIMIT 1",
            )?;
            let mut rows = read.query(params![run.0.to_bytes(), task.as_str(), attempt])?;
            match rows.next()? {
                Some(row) => Ok(json(row, 0)?),
                None => Ok(None),
            }
        })
    }
}

/// Gives tasks with `foreach` that ended well the lists of their items' outputs. `lists` says which they
/// are, and how many items each has.
pub(super) fn gather_outputs(tasks: &mut [TaskView], lists: &[(usize, u32)]) {
    if lists.is_empty() {
        return;
    }
    let places: HashMap<String, usize> =
        tasks.iter().enumerate().map(|(at, task)| (task.id.to_string(), at)).collect();
    for (at, count) in lists.iter().copied() {
        if tasks[at].state != TaskState::Succeeded {
            continue;
        }
        let id = &tasks[at].id;
        let items: Vec<Option<usize>> =
            (1..=count).map(|number| places.get(&format!("{id}.{number}")).copied()).collect();
        let names = items.iter().flatten().flat_map(|item| tasks[*item].outputs.keys().cloned());
        let mut outputs: BTreeMap<String, Value> = names.map(|name| (name, Value::Null)).collect();
        for (name, list) in &mut outputs {
            let value = |item: &Option<usize>| {
                item.and_then(|item| tasks[item].outputs.get(name).cloned()).unwrap_or(Value::Null)
            };
            *list = items.iter().map(value).collect();
        }
        tasks[at].outputs = outputs;
    }
}
