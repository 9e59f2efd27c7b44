//! Reading the messages that come for every session without a detour: serde collects the fields of an
//! enum that names its variant in a field before it knows which variant they are for. These are known
//! by how the frame begins, and where it begins otherwise it is read in the general way.

use serde::Deserialize;

use super::protocol::{Exit, FromHost, Start, ToHost};
use cis_core::ids::SessionId;

#[derive(Deserialize)]
struct Of {
    session: SessionId,
}

fn is(json: &[u8], kind: &str) -> bool {
    json.strip_prefix(br#"{"type":""#)
        .and_then(|rest| rest.strip_prefix(kind.as_bytes()))
        .is_some_and(|rest| rest.starts_with(br#"","#))
}

/// A message of the node.
///
/// # Errors
/// It is not one of this version.
pub fn to_host(json: &[u8]) -> serde_json::Result<ToHost> {
    if is(json, "start") {
        // The field `type` is none of its own, and so left out.
        serde_json::from_slice::<Start>(json).map(|start| ToHost::Start(Box::new(start)))
    } else if is(json, "ack_exit") {
        serde_json::from_slice::<Of>(json).map(|of| ToHost::AckExit { session: of.session })
    } else {
        serde_json::from_slice(json)
    }
}

/// A message of the host.
///
/// # Errors
/// It is not one of this version.
pub fn from_host(json: &[u8]) -> serde_json::Result<FromHost> {
    if !is(json, "exited") {
        return serde_json::from_slice(json);
    }
    let of: Of = serde_json::from_slice(json)?;
    let exit: Exit = serde_json::from_slice(json)?;
    Ok(FromHost::Exited { session: of.session, exit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::event::ExitStatus;

    #[test]
    fn both_ways_of_reading_give_the_same() {
        let session = SessionId::from_parts(1_700_000_000_000, 5);
        let exit = Exit {
            status: ExitStatus::Signal(9),
            started_ms: 1,
            ended_ms: 2,
            timed_out: true,
            idle: false,
            limit_ms: Some(2),
            killed: false,
            shut_down: false,
            output_bytes: 3,
            cut_bytes: 4,
            lost_output: None,
        };
        let exited = FromHost::Exited { session, exit };
        let json = serde_json::to_vec(&exited).unwrap();
        assert!(is(&json, "exited"), "it would be read the slow way");
        assert_eq!(from_host(&json).unwrap(), exited);
        let ack = ToHost::AckExit { session };
        let json = serde_json::to_vec(&ack).unwrap();
        assert!(is(&json, "ack_exit"));
        assert_eq!(to_host(&json).unwrap(), ack);
        // Fields in another order, and one of a later version.
        let other = format!(r#"{{"session":"{session}","new":1,"type":"ack_exit"}}"#);
        assert_eq!(to_host(other.as_bytes()).unwrap(), ack);
        let later = format!(r#"{{"type":"ack_exit","new":[{{}}],"session":"{session}"}}"#);
        assert_eq!(to_host(later.as_bytes()).unwrap(), ack);
        for damaged in [r#"{"type":"start","session":5}"#, r#"{"type":"ack_exit","#, r#"{"type":"exited",}"#]
        {
            assert!(
                to_host(damaged.as_bytes()).is_err() && from_host(damaged.as_bytes()).is_err(),
                "{damaged}"
            );
        }
    }
}
