//! Whom a message about a failed run mentions (`[dag.matrix] failure_mentions`).

use std::str::FromStr;

use crate::matrix::{NameError, UserId};

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mention {
    /// Whoever started the run, where that is somebody with an account.
    Submitter,
    /// Those in the room who may answer and retry.
    Operators,
    /// This user.
    User(UserId),
}

impl FromStr for Mention {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "submitter" => Ok(Self::Submitter),
            "operators" => Ok(Self::Operators),
            user => user.parse().map(Self::User),
        }
    }
}

/// Whom these entries mean, the submitter first, each once.
#[must_use]
pub fn mentioned(entries: &[String], submitter: Option<&UserId>, operators: &[UserId]) -> Vec<UserId> {
    let mentions: Vec<Mention> = entries.iter().filter_map(|entry| entry.parse().ok()).collect();
    let mut users: Vec<UserId> = Vec::new();
    let mut add = |user: &UserId| {
        if !users.contains(user) {
            users.push(user.clone());
        }
    };
    if mentions.contains(&Mention::Submitter) {
        submitter.into_iter().for_each(&mut add);
    }
    for mention in &mentions {
        match mention {
            Mention::Submitter => {}
            Mention::Operators => operators.iter().for_each(&mut add),
            Mention::User(user) => add(user),
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_mentioned_once_and_the_submitter_first() {
        let user = |name: &str| name.parse::<UserId>().unwrap();
        let (ann, bob, eve) = (user("@ann:x"), user("@bob:x"), user("@eve:x"));
        let of = |entries: &[&str]| {
            let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
            mentioned(&entries, Some(&bob), &[ann.clone(), bob.clone()])
        };
        assert_eq!(of(&["operators", "submitter"]), [bob.clone(), ann.clone()]);
        assert_eq!(of(&["submitter", "@eve:x", "@bob:x"]), [bob.clone(), eve]);
        assert!(of(&[]).is_empty());
        assert_eq!(of(&["operators"]), [ann.clone(), bob.clone()]);
        assert!("nobody".parse::<Mention>().is_err());
    }
}
