//! Keys of an encrypted room that come after the events which they open: a homeserver gives a device 100 messages at a time.

use serde_json::json;

use crate::federation::{execute, lines_in, member, member_behind, switch_off, takes_over, waiting_for};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::room::Room;
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, eventually_within};
use crate::matrix::logged_in;
use crate::rooms::SLOW;

/// Of Synapse's configuration: a person may send many messages at once.
const MANY_MESSAGES: &str = "
rc_message:
  per_second: 1000
  burst_count: 1000
";

/// The coordinator is switched off before the other one reaches the homeserver again. What it said is in no batch: it is paged.
#[test]
fn a_run_is_taken_over_by_a_node_whose_keys_come_after_it_read_the_room() {
    let synapse = Synapse::own_with(MANY_MESSAGES);
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let made = cis.json(&["matrix", "create-room", "vault", "--encrypted", "--invite", &ann.id]);
    let room = Room::joined(&ann, made["room_id"].as_str().unwrap());
    let _builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let (proxy, what) = (Proxy::before(synapse.url()), ("second", "coordinator", "coordinate"));
    let (second, user) = member_behind(&proxy, &synapse, &room, &ann, &cis, what);
    // It has no keys of what was said before it was there.
    let before = room.events().iter().filter(|event| event["type"] == "m.room.encrypted").count() as u64;
    let outage = proxy.fault(&["GET", "/sync"], Fault::Refused, usize::MAX);
    // They come before the key.
    for n in 0..150 {
        ann.to_device(&user.id, &user.device, "cis.test", &json!({ "n": n }));
    }
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    let told = || (cis.status()["outbox"] == 0).then_some(());
    eventually_within(SLOW, "the room has all of it", told);
    switch_off(&cis);
    for n in 0..120 {
        ann.say(&room.id, &format!("message {n}"));
    }
    let next = proxy.fault(&["GET", "/sync"], Fault::Held, 1);
    let later = proxy.fault(&["GET", "/sync"], Fault::Held, usize::MAX);
    drop(outage);
    next.used();
    drop(next);
    eventually_within(SLOW, "it read what it has no key for", || (lacks(&second) > before).then_some(()));
    drop(later);
    takes_over(&second, &run);
    std::fs::write(&go, "").unwrap();
    second.wait_run(&run, "succeeded");
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
}

/// How many events a node cannot decrypt.
fn lacks(cis: &Cis) -> u64 {
    let status = cis.status();
    let warnings = status["warnings"].as_array().into_iter().flatten().filter_map(|warning| warning.as_str());
    warnings
        .filter(|it| it.contains("cannot be decrypted"))
        .find_map(|it| it.split(' ').next()?.parse().ok())
        .unwrap_or(0)
}
