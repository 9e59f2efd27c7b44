//! The name of a store's outbox at homeservers.
//!
//! A homeserver takes each transaction of a device once, and answers a second one with the event of the first. Entries are numbered from 1 on in a
//! new store, and from an earlier number on in one that was restored: without a name of its own, such a store would send nothing, and
//! believe that it did.

use cis_store::{StoreError, Writer};
use ulid::Ulid;

/// Key of the name in the store.
const KEY: &str = "outbox";

/// The name of this store's outbox; empty: the store was made before outboxes had names.
pub(crate) fn load_or_make(writer: &mut Writer) -> Result<String, StoreError> {
    if let Some(name) = writer.get_meta(KEY)? {
        return Ok(name);
    }
    // What it sends now may have left under the name without one.
    if writer.last_offset() > 0 {
        return Ok(String::new());
    }
    let name = make(writer)?;
    writer.commit()?;
    Ok(name)
}

/// Gives a store a new name, with the present transaction.
pub(crate) fn make(writer: &mut Writer) -> Result<String, StoreError> {
    let name = Ulid::new().to_string();
    writer.set_meta(KEY, &name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use cis_core::event::{EventBody, EventDraft};
    use cis_store::Writer;
    use ulid::Ulid;

    use super::{load_or_make, make};

    #[test]
    fn a_new_store_gets_a_name_for_good_and_an_older_one_none() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| Writer::open(&dir.path().join(name)).unwrap();
        let name = load_or_make(&mut open("new")).unwrap();
        assert!(!name.is_empty());
        assert_eq!(load_or_make(&mut open("new")).unwrap(), name);
        assert_ne!(load_or_make(&mut open("other")).unwrap(), name);
        // It was restored.
        let mut writer = open("new");
        let next = make(&mut writer).unwrap();
        writer.commit().unwrap();
        assert_ne!(next, name);
        assert_eq!(load_or_make(&mut writer).unwrap(), next);

        let mut older = open("older");
        let body = EventBody::NodeStopped { reason: "tests".to_owned() };
        older
            .append(&EventDraft { run: None, at_ms: 1, actor: None, cause: None, body }, Ulid::new())
            .unwrap();
        older.commit().unwrap();
        assert_eq!(load_or_make(&mut older).unwrap(), "");
    }
}
