//! Who may do what: one door, [`admit`], that every request passes; and what the node executes for others (`node_rules`).
//!
//! Owns principals, rights, the decision and the permits that prove it. Knows nothing of sockets, rooms or processes: whoever
//! lets a request in says who it is from.

pub mod act;
pub mod node_rules;
mod permit;
pub mod redact;
pub mod token;

use serde::{Deserialize, Serialize};

use crate::event::{Actor, ActorKind, Submitter, Via};
use crate::ids::{NodeDid, RunId, SessionId, TaskId, TokenId};
use crate::matrix::{RoomId, UserId};
use crate::people::{Allowed, Person, Power};

pub use self::permit::{Permit, admit, admit_decision};
pub use crate::people::Rights;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Who {
    /// A person, by uid.
    User {
        /// The uid of the peer.
        uid: u32,
    },
    /// A process below the session host that showed the token of this session.
    Session {
        /// That session.
        session: SessionId,
        /// The task that it works on.
        of: Option<(RunId, TaskId)>,
    },
    /// A process of a session without a valid token.
    #[serde(rename = "stray")]
    UnknownSession {
        /// Its pid.
        pid: u32,
        /// Its hard limit of realtime CPU time, µs, if nothing else shows that it is of a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        /// Limit of the total size of its environment and those of its ancestors, bytes, if they are larger: then nothing shows
        /// whether it is of a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment_max: Option<u64>,
    },
    /// Somebody in a room.
    Member {
        /// Who.
        user: UserId,
        /// The room.
        room: RoomId,
        /// What the room gives them.
        power: Power,
    },
    /// Whoever showed a token of the API over TCP.
    Token {
        /// Its id.
        id: TokenId,
        /// Its name.
        name: String,
    },
    /// Somebody at another node of a room.
    Node {
        /// That node.
        node: NodeDid,
        /// Who, as it says.
        by: String,
    },
    /// A command that the node runs itself.
    Command(NodeCommand),
}

/// Origin of a command that the node runs itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum NodeCommand {
    /// `on_blocked.run` of a task.
    OnBlocked {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
        /// Who submitted the run; none: the owner of the node.
        submitter: Option<Submitter>,
    },
    /// `notify.command` of the node's configuration.
    Notify,
}

impl NodeCommand {
    /// The most rights that any command has, also if an admin submitted its run: enough for what runs need, but not
    /// to change the node or its list of trust.
    pub const RIGHTS_MAX: Rights = Rights::Operator;

    /// The name in events and messages.
    fn name(&self) -> String {
        match self {
            Self::OnBlocked { task, .. } => format!("on_blocked:{task}"),
            Self::Notify => "notify.command".to_owned(),
        }
    }
}

/// A request's origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Who.
    pub who: Who,
    /// By which way.
    pub via: Via,
    /// At most.
    pub rights: Rights,
}

impl Principal {
    /// As it stands in events.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let (kind, name) = match &self.who {
            Who::User { uid } => (ActorKind::Human, format!("uid:{uid}")),
            Who::Session { session, .. } => (ActorKind::Session, session.to_string()),
            Who::UnknownSession { pid, .. } => (ActorKind::Session, format!("pid:{pid}")),
            Who::Member { user, .. } => (ActorKind::Human, user.to_string()),
            Who::Token { name, .. } => (ActorKind::Human, format!("token:{name}")),
            Who::Node { node, by } => (ActorKind::Human, format!("{by} at {node}")),
            Who::Command(command) => (ActorKind::Policy, command.name()),
        };
        Actor { kind, name, via: self.via }
    }

    /// The submitter of a run that this principal creates; none: the owner of the node. A command submits on behalf
    /// of the submitter of its own run.
    #[must_use]
    pub fn submitter(&self) -> Option<Submitter> {
        match &self.who {
            Who::Token { id, .. } => Some(Submitter::Token { id: *id }),
            Who::Member { room, .. } => Some(Submitter::Member { room: room.as_str().to_owned() }),
            Who::Command(NodeCommand::OnBlocked { submitter, .. }) => submitter.clone(),
            Who::User { .. }
            | Who::Session { .. }
            | Who::UnknownSession { .. }
            | Who::Node { .. }
            | Who::Command(NodeCommand::Notify) => None,
        }
    }
}

/// What is asked for. `None` as a session or run means: no particular one, or one that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Version, pid and counts of the node.
    SeeNode,
    /// Listings, details, events of runs and sessions.
    See,
    /// State of one session.
    SeeSession(Option<SessionId>),
    /// What a session's terminal shows and showed.
    ReadSession(Option<SessionId>),
    /// Contents of artifacts: unlike in logs and screens, secrets are not replaced there.
    ReadArtifacts,
    /// Create, start, cancel, pause, resume, retry a run.
    ControlRun(Option<RunId>),
    /// Make, change and remove concurrency groups of the node.
    ControlGroups,
    /// Create a session.
    CreateSession,
    /// Type into a session, answer it, end it.
    ControlSession(Option<SessionId>),
    /// Ask people, tell them something, hand in a result, as this session.
    SpeakAs(Option<SessionId>),
    /// Change the node's key, and whom it trusts.
    ControlIdentity,
    /// Change the rules that say which tasks of other nodes the node executes.
    ControlPolicy,
    /// Read what is said in rooms of the node's Matrix account.
    ReadMatrix,
    /// Make and join rooms, invite people, as that account.
    UseMatrix,
    /// Log that account in and out, sign its device, verify others with it.
    ControlMatrix,
    /// Take runs that a room tells of into the store.
    RecoverRuns,
    /// Remove what ended runs left.
    CleanStore,
    /// Stop the node.
    StopNode,
    /// Make, list and revoke tokens of the API over TCP.
    ControlTokens,
}

/// Decides whether `principal` may decide an approval. `allowed` is the list of people in its file: from a room it
/// takes precedence over roles, in both directions. The owner at the node's socket and the holders of admin tokens
/// are always allowed; holders of operator tokens and commands are not.
///
/// # Errors
/// [`Denied`] with the reason.
pub fn authorize_decision(
    principal: &Principal,
    run: RunId,
    allowed: Option<&Allowed>,
) -> Result<(), Denied> {
    match (&principal.who, allowed) {
        (Who::Member { user, power, .. }, Some(allowed)) => allowed
            .check(Person { id: user, power: *power })
            .map_err(|refusal| Denied { reason: format!("{user} may not decide this: {refusal}") }),
        (Who::Token { name, .. }, Some(_)) if principal.rights < Rights::Admin => Err(Denied {
            reason: format!(
                "token {name} may not decide this: the file says who may from rooms, and an admin's token"
            ),
        }),
        (Who::Node { node, .. }, Some(_)) => Err(Denied {
            reason: format!("people at {node} may not decide this: the file says who may, in the room"),
        }),
        (Who::Command(command), Some(_)) => Err(Denied {
            reason: format!("{} may not decide this: the file names the people who may", command.name()),
        }),
        _ => authorize(principal, Action::ControlRun(Some(run))),
    }
}

/// Decides whether `principal` may move a run to another room. `held` is a task of the run whose undecided approval
/// depends on power levels of the room: in another room, other people have these levels.
///
/// # Errors
/// [`Denied`] with the reason.
pub fn authorize_room_change(principal: &Principal, run: RunId, held: Option<&TaskId>) -> Result<(), Denied> {
    authorize(principal, Action::ControlRun(Some(run)))?;
    match held {
        Some(task) if principal.rights < Rights::Admin => Err(Denied {
            reason: format!(
                "{} may not move run {run} to another room: who may approve `{task}` depends on the room, so only an admin may move the run",
                principal.actor().name
            ),
        }),
        _ => Ok(()),
    }
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// In words.
    pub reason: String,
}

/// The rights that `action` needs of everybody whom it is not about; none: of nobody else. What it is about
/// (a session that looks at itself, or speaks) may need less. Tokens are made over the node's socket only, whatever
/// rights somebody else has.
#[must_use]
pub fn needed(action: Action) -> Option<Rights> {
    Some(match action {
        Action::SeeNode => Rights::OwnSession,
        // Nobody speaks for a session but itself: words of a person in its name would deceive others.
        Action::SpeakAs(_) => return None,
        Action::See | Action::SeeSession(_) | Action::ReadSession(_) | Action::ReadMatrix => Rights::Viewer,
        Action::ReadArtifacts
        | Action::ControlRun(_)
        | Action::ControlGroups
        | Action::CreateSession
        | Action::ControlSession(_)
        | Action::UseMatrix => Rights::Operator,
        Action::ControlIdentity
        | Action::ControlPolicy
        | Action::ControlMatrix
        | Action::RecoverRuns
        | Action::CleanStore
        | Action::StopNode
        | Action::ControlTokens => Rights::Admin,
    })
}

/// Decides whether `principal` may do `action`. Whoever does it needs the [`Permit`] of [`admit`].
///
/// # Errors
/// [`Denied`] with the reason, to be answered and audited.
pub fn authorize(principal: &Principal, action: Action) -> Result<(), Denied> {
    let needed = match action {
        Action::SeeSession(Some(session)) | Action::SpeakAs(Some(session)) if is_own(principal, session) => {
            Rights::OwnSession
        }
        // A token that could make tokens would outlive its own end.
        Action::ControlTokens if principal.via != Via::Socket => {
            return Err(Denied {
                reason: "tokens are made, listed and revoked on the node's own machine only".to_owned(),
            });
        }
        // The token of a session that is being ended counts no more.
        action => needed(action).ok_or_else(|| Denied {
            reason: format!(
                "only the session itself may {}, and only while its first process runs",
                verb(action)
            ),
        })?,
    };
    if principal.rights >= needed {
        return Ok(());
    }
    let reason = match &principal.who {
        Who::Session { session, .. } => format!(
            "session {session} may not {}: a process in a session cannot answer, read or control sessions and runs",
            verb(action)
        ),
        Who::UnknownSession { pid, environment_max: Some(max), .. } => format!(
            "process {pid} may not {}: its environment and those of the processes that started it have more than {} MiB together, \
             so the node cannot tell whether the process is part of a session; run `cis` with a smaller environment",
            verb(action),
            max >> 20
        ),
        Who::UnknownSession { pid, limit: Some(limit), .. } => format!(
            "process {pid} has a hard limit of realtime CPU time (RLIMIT_RTTIME, {limit} µs), as processes of sessions \
             have, and shows no valid CIS_TOKEN, so it may not {}; if it is not of a session, use a shell in which \
             `prlimit --rttime` says `unlimited`",
            verb(action)
        ),
        Who::UnknownSession { pid, .. } => format!(
            "process {pid} runs in a session but shows no valid CIS_TOKEN, so it may not {}",
            verb(action)
        ),
        Who::User { uid } => format!("uid {uid} may not {}", verb(action)),
        Who::Member { user, .. } => format!("{user} may not {}", verb(action)),
        Who::Token { name, .. } => format!("token {name} may not {}", verb(action)),
        Who::Node { node, .. } => format!("people at {node} may not {}", verb(action)),
        Who::Command(command) => format!(
            "{} may not {}: a command that the node runs has the rights of an operator, and none once the token of its run's submitter is revoked or expired",
            command.name(),
            verb(action)
        ),
    };
    Err(Denied { reason })
}

fn is_own(principal: &Principal, session: SessionId) -> bool {
    matches!(&principal.who, Who::Session { session: own, .. } if *own == session)
}

/// All actions, without what each is about.
const ACTIONS: [Action; 19] = [
    Action::SeeNode,
    Action::See,
    Action::SeeSession(None),
    Action::ReadSession(None),
    Action::ReadArtifacts,
    Action::ControlRun(None),
    Action::ControlGroups,
    Action::CreateSession,
    Action::ControlSession(None),
    Action::SpeakAs(None),
    Action::ControlIdentity,
    Action::ControlPolicy,
    Action::ReadMatrix,
    Action::UseMatrix,
    Action::ControlMatrix,
    Action::RecoverRuns,
    Action::CleanStore,
    Action::StopNode,
    Action::ControlTokens,
];

/// The words for an action, by the name that a recorded refusal has.
#[must_use]
pub fn words_of(name: &str) -> Option<&'static str> {
    let kind = |name: &str| name.split('(').next().unwrap_or_default().to_owned();
    ACTIONS.into_iter().find(|action| kind(&format!("{action:?}")) == kind(name)).map(verb)
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::SeeNode => "see the node",
        Action::See => "see runs and sessions",
        Action::SeeSession(None) => "see sessions",
        Action::SeeSession(Some(_)) => "see that session",
        Action::ReadSession(None) => "read sessions",
        Action::ReadSession(Some(_)) => "read that session",
        Action::ReadArtifacts => "read artifacts",
        Action::ControlRun(_) => "control runs",
        Action::ControlGroups => "change groups",
        Action::CreateSession => "create sessions",
        Action::ControlSession(None) => "control sessions",
        Action::ControlSession(Some(_)) => "control that session",
        Action::SpeakAs(_) => "ask, tell and hand in as that session",
        Action::ControlIdentity => "change whom this node trusts",
        Action::ControlPolicy => "change what this node executes for other nodes",
        Action::ReadMatrix => "read rooms of the Matrix account",
        Action::UseMatrix => "act in rooms as the Matrix account",
        Action::ControlMatrix => "log the Matrix account in or out, or verify with it",
        Action::RecoverRuns => "take runs out of rooms",
        Action::CleanStore => "clean the store",
        Action::StopNode => "stop the node",
        Action::ControlTokens => "make, list or revoke tokens",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: u128) -> SessionId {
        SessionId::from_parts(1, n)
    }

    #[test]
    fn a_refusal_is_told_in_words() {
        assert_eq!(words_of("ReadSession(None)"), Some("read sessions"));
        assert_eq!(words_of("ControlRun(Some(RunId(1)))"), Some("control runs"));
        assert_eq!(
            (words_of("See"), words_of("pause"), words_of("")),
            (Some("see runs and sessions"), None, None)
        );
    }

    #[test]
    fn a_session_sees_itself_and_touches_nothing() {
        let me = Principal {
            who: Who::Session { session: session(1), of: None },
            via: Via::Socket,
            rights: Rights::OwnSession,
        };
        assert!(authorize(&me, Action::SeeNode).is_ok());
        assert!(authorize(&me, Action::SeeSession(Some(session(1)))).is_ok());
        assert!(authorize(&me, Action::SpeakAs(Some(session(1)))).is_ok());
        let of_sessions = [
            Action::SeeSession(Some(session(2))),
            Action::ReadSession(Some(session(2))),
            Action::ReadSession(Some(session(1))),
            Action::ControlSession(Some(session(1))),
            Action::SpeakAs(Some(session(2))),
        ];
        let others = ACTIONS.into_iter().filter(|action| *action != Action::SeeNode);
        for action in others.chain(of_sessions) {
            assert!(authorize(&me, action).is_err(), "{action:?}");
        }
    }

    fn token(rights: Rights) -> Principal {
        let (id, name) = (TokenId::from_parts(1, 1), "laptop".to_owned());
        Principal { who: Who::Token { id, name }, via: Via::Http, rights }
    }

    #[test]
    fn a_token_has_its_role_and_makes_no_tokens() {
        let may = |rights, action| authorize(&token(rights), action).is_ok();
        assert!(may(Rights::Viewer, Action::See) && !may(Rights::Viewer, Action::ControlRun(None)));
        assert!(may(Rights::Operator, Action::ReadArtifacts) && !may(Rights::Viewer, Action::ReadArtifacts));
        assert!(may(Rights::Operator, Action::ControlRun(None)) && !may(Rights::Operator, Action::StopNode));
        assert!(may(Rights::Admin, Action::StopNode) && may(Rights::Admin, Action::ControlIdentity));
        assert!(!may(Rights::Admin, Action::ControlTokens));
        assert_eq!(token(Rights::Viewer).actor().name, "token:laptop");
        let owner = |via| Principal { who: Who::User { uid: 1000 }, via, rights: Rights::Admin };
        assert!(authorize(&owner(Via::Socket), Action::ControlTokens).is_ok());
        assert!(authorize(&owner(Via::Internal), Action::ControlTokens).is_err(), "by a rule of a file");
    }

    #[test]
    fn an_operators_token_is_on_nobodys_list() {
        let allowed = Allowed::parse(&["pl>=50".to_owned()]).unwrap();
        let may = |rights, list| authorize_decision(&token(rights), RunId::from_parts(1, 1), list).is_ok();
        assert!(may(Rights::Operator, None) && !may(Rights::Operator, Some(&allowed)));
        assert!(may(Rights::Admin, Some(&allowed)) && !may(Rights::Viewer, None));
    }

    #[test]
    fn a_command_decides_no_approval_that_names_people_and_submits_for_its_runs_submitter() {
        let submitter = Some(Submitter::Token { id: TokenId::from_parts(1, 2) });
        let (run, task) = (RunId::from_parts(1, 1), TaskId::new("ask").unwrap());
        let command = NodeCommand::OnBlocked { run, task, submitter: submitter.clone() };
        let of = |command, rights| Principal { who: Who::Command(command), via: Via::Internal, rights };
        let allowed = Allowed::parse(&["pl>=50".to_owned()]).unwrap();
        for rights in [Rights::Operator, Rights::Admin] {
            for command in [command.clone(), NodeCommand::Notify] {
                let command = of(command, rights);
                assert!(authorize_decision(&command, run, None).is_ok());
                assert!(authorize_decision(&command, run, Some(&allowed)).is_err(), "{command:?}");
                assert!(authorize(&command, Action::ControlTokens).is_err());
            }
        }
        let command = of(command, NodeCommand::RIGHTS_MAX);
        assert_eq!((command.submitter(), command.actor().kind), (submitter, ActorKind::Policy));
        assert!(authorize(&command, Action::ControlSession(None)).is_ok());
        for action in [
            Action::ControlIdentity,
            Action::ControlPolicy,
            Action::CleanStore,
            Action::StopNode,
            Action::ControlMatrix,
        ] {
            assert!(authorize(&command, action).is_err(), "{action:?}");
        }
        let token = token(Rights::Operator);
        assert_eq!(token.submitter(), Some(Submitter::Token { id: TokenId::from_parts(1, 1) }));
    }

    #[test]
    fn only_an_admin_moves_a_run_whose_approval_depends_on_its_room() {
        let (run, task) = (RunId::from_parts(1, 1), TaskId::new("deploy").unwrap());
        let may = |rights, held| authorize_room_change(&token(rights), run, held).is_ok();
        assert!(may(Rights::Operator, None) && !may(Rights::Viewer, None));
        assert!(!may(Rights::Operator, Some(&task)) && may(Rights::Admin, Some(&task)));
    }

    #[test]
    fn from_a_room_the_list_of_an_approval_stands_above_roles() {
        let allowed = Allowed::parse(&["pl>=50".to_owned(), "@ann:x".to_owned()]).unwrap();
        let run = RunId::from_parts(1, 1);
        let member = |user: &str, level, rights| Principal {
            who: Who::Member {
                user: user.parse().unwrap(),
                room: "!r:x".parse().unwrap(),
                power: Power::Level(level),
            },
            via: Via::Room,
            rights,
        };
        let may = |who: &Principal, allowed| authorize_decision(who, run, allowed).is_ok();
        let (ann, bob) = (member("@ann:x", 0, Rights::None), member("@bob:x", 0, Rights::Admin));
        assert!(may(&ann, Some(&allowed)) && !may(&ann, None));
        assert!(!may(&bob, Some(&allowed)) && may(&bob, None));
        assert!(may(&member("@eve:x", 50, Rights::None), Some(&allowed)));
        assert_eq!(bob.actor().name, "@bob:x");
        let owner = Principal { who: Who::User { uid: 1000 }, via: Via::Socket, rights: Rights::Admin };
        assert!(may(&owner, Some(&allowed)), "whoever has the socket is the owner");
        let inside = Principal {
            who: Who::Session { session: session(1), of: None },
            via: Via::Socket,
            rights: Rights::OwnSession,
        };
        assert!(!may(&inside, Some(&allowed)));
    }

    #[test]
    fn nobody_speaks_for_a_session() {
        let admin = Principal { who: Who::User { uid: 0 }, via: Via::Socket, rights: Rights::Admin };
        assert!(authorize(&admin, Action::SpeakAs(Some(session(1)))).is_err());
    }

    #[test]
    fn a_stray_process_has_no_rights() {
        let unknown = Principal {
            who: Who::UnknownSession { pid: 7, limit: None, environment_max: None },
            via: Via::Socket,
            rights: Rights::None,
        };
        let denied = authorize(&unknown, Action::SeeNode).unwrap_err();
        assert!(denied.reason.contains("process 7 runs in a session"), "{denied}");
    }

    #[test]
    fn a_process_with_a_large_environment_hears_that_it_is_too_large() {
        let large = Principal {
            who: Who::UnknownSession { pid: 7, limit: None, environment_max: Some(8 << 20) },
            via: Via::Socket,
            rights: Rights::None,
        };
        let denied = authorize(&large, Action::SeeNode).unwrap_err();
        assert!(denied.reason.contains("more than 8 MiB together"), "{denied}");
        assert!(!denied.reason.contains("runs in a session"), "{denied}");
    }
}
