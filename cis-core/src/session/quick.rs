//! Reading the messages that come for every session without a detour: serde collects the fields of an
//! enum that names its variant in a field before it knows which variant they are for. These are known
//! by how the frame begins, and where it begins otherwise it is read in the general way.

use serde::Deserialize;

use super::protocol::{Exit, FromHost, Start, ToHost};
use crate::ids::SessionId;

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
