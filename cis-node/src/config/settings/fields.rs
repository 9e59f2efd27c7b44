//! Between what a layer says and what a field holds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::kind::Value;
use crate::config::settings::FederationRole;
use cis_core::event::ExecutionMode;
use cis_core::people::{Role, Roles};
use cis_core::scheduler::placement::Strategy;

pub(super) fn number(value: &Value) -> u64 {
    optional(value).unwrap_or_default()
}

pub(super) fn count(value: &Value) -> u32 {
    u32::try_from(number(value)).unwrap_or(u32::MAX)
}

pub(super) fn optional(value: &Value) -> Option<u64> {
    if let Value::Number(number) = value { *number } else { None }
}

pub(super) fn text(value: &Value) -> String {
    if let Value::Text(text) = value { text.clone() } else { String::new() }
}

pub(super) fn words(value: &Value) -> Vec<String> {
    serde_json::from_str(&text(value)).unwrap_or_default()
}

pub(super) fn of_words(words: &[String]) -> Value {
    Value::Text(serde_json::to_string(words).unwrap_or_default())
}

pub(super) fn of_number(number: &u64) -> Value {
    Value::Number(Some(*number))
}

pub(super) fn of_count(count: &u32) -> Value {
    Value::Number(Some((*count).into()))
}

pub(super) fn of_optional(number: &Option<u64>) -> Value {
    Value::Number(*number)
}

pub(super) fn of_text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn maybe_text(value: &Value) -> Option<String> {
    Some(text(value)).filter(|text| !text.is_empty())
}

pub(super) fn of_maybe_text(text: &Option<String>) -> Value {
    Value::Text(text.clone().unwrap_or_default())
}

pub(super) fn address(value: &Value) -> Option<SocketAddr> {
    text(value).parse().ok()
}

pub(super) fn of_address(address: &Option<SocketAddr>) -> Value {
    Value::Text(address.map(|address| address.to_string()).unwrap_or_default())
}

pub(super) fn maybe_file(value: &Value) -> Option<PathBuf> {
    maybe_text(value).map(PathBuf::from)
}

pub(super) fn of_maybe_file(path: &Option<PathBuf>) -> Value {
    // It was read from text.
    Value::Text(path.as_deref().map(Path::to_string_lossy).unwrap_or_default().into_owned())
}

pub(super) fn flag(value: &Value) -> bool {
    matches!(value, Value::Flag(true))
}

pub(super) fn of_flag(flag: &bool) -> Value {
    Value::Flag(*flag)
}

pub(super) fn mode(value: &Value) -> ExecutionMode {
    ExecutionMode::parse(&text(value)).unwrap_or(ExecutionMode::Local)
}

pub(super) fn part(value: &Value) -> FederationRole {
    match text(value).as_str() {
        "worker" => FederationRole::Worker,
        "coordinator" => FederationRole::Coordinator,
        _ => FederationRole::Both,
    }
}

pub(super) fn of_part(role: &FederationRole) -> Value {
    let word = match role {
        FederationRole::Worker => "worker",
        FederationRole::Coordinator => "coordinator",
        FederationRole::Both => "both",
    };
    Value::Text(word.to_owned())
}

pub(super) fn strategy(value: &Value) -> Strategy {
    if text(value) == "pack" { Strategy::Pack } else { Strategy::Spread }
}

pub(super) fn of_strategy(strategy: &Strategy) -> Value {
    let word = match strategy {
        Strategy::Spread => "spread",
        Strategy::Pack => "pack",
    };
    Value::Text(word.to_owned())
}

pub(super) fn of_mode(mode: &ExecutionMode) -> Value {
    Value::Text(mode.to_string())
}

pub(super) fn dirs(value: &Value) -> Vec<PathBuf> {
    words(value).into_iter().map(PathBuf::from).collect()
}

pub(super) fn of_dirs(dirs: &[PathBuf]) -> Value {
    // They were read from text.
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.to_string_lossy().into_owned()).collect();
    of_words(&dirs)
}

/// The entries were checked when they were read: of others nobody gets the role.
pub(super) fn set_role(roles: &mut Roles, role: Role, value: &Value) {
    roles.set(role, words(value).iter().filter_map(|entry| entry.parse().ok()).collect());
}

pub(super) fn of_role(roles: &Roles, role: Role) -> Value {
    of_words(&roles.entries(role))
}
