//! End to end: the real `cis` binary, real terminals, a real SQLite file, real signals.
//!
//! Every test has a home and a runtime directory of its own and checks at its end that no process is
//! left. Tests that are too long for everybody are `#[ignore]`d; `cargo xtask test-all` runs them. Tests
//! whose name has `alone_` need the whole machine (nextest's configuration gives it to them).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    unreachable_pub,
    clippy::print_stderr,
    reason = "tests read clocks and files, poll conditions with deadlines, and fail by panicking"
)]

mod harness;

mod agents;
mod ahead;
mod answer_races;
mod apart;
mod api;
mod artifacts;
mod asking;
mod attach;
mod attackers;
mod backlog;
mod blocked;
mod bounds;
mod cache;
mod command_rights;
mod commands;
mod config;
mod context;
mod control;
mod control_again;
mod crash_both;
mod crash_host;
mod crash_node;
mod damaged;
mod dashboard;
mod described;
mod ended;
mod examples;
mod export;
mod faults;
mod federated_agents;
mod federated_commit;
mod federated_crashes;
mod federated_outage;
mod federated_partition;
mod federated_questions;
mod federated_sizes;
mod federation;
mod files;
mod full_disk;
mod full_worker;
mod gates;
mod guide;
mod harness_check;
mod heard;
mod history;
mod homeservers;
mod hostile;
mod http;
mod hybrid;
mod identity;
mod idle_exit;
mod impostor;
mod inbox;
mod inbox_trust;
mod isolation;
mod items;
mod json;
mod late_keys;
mod leftovers;
mod let_in;
mod limits;
mod logs;
mod lost_files;
mod lost_output;
mod mallory;
mod matrix;
mod mode_matrix;
mod moments;
mod monitor_corpus;
mod monitor_record;
mod node;
mod node_rights;
mod noisy;
mod observer;
mod page;
mod permissions;
mod policy;
mod recover;
mod remote;
mod remote_refused;
mod renewal;
mod requests;
mod resume;
mod rights;
mod room_groups;
mod rooms;
mod run;
mod runtime_dir;
mod schema;
mod sealed_secrets;
mod secrets;
mod sessions;
mod shared_cache;
mod soak;
mod spec;
mod sso;
mod stop_sends;
mod storage;
mod submitter;
mod subscribers;
mod supervision;
mod transfers;
mod twins;
mod upkeep;
mod upkeep_killed;
mod verify;
mod versions;
mod views;
mod watch;
mod witness;
