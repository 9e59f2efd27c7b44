//! What stands behind the API's nodes of rooms: invitations, statements of owners, and how the nodes are.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::commands::Command;
use crate::matrix::matrix_problem;
use crate::members::RIGHTS;
use crate::node::Node;
use crate::problems::internal;
use crate::server::NodesApi;
use crate::shared::Announced;
use cis_core::api::{
    AdmitNode, DrainNode, InvitationView, InviteNodes, JoinNodes, JoinedView, ListNodes, Listing, Problem,
    ProblemKind, RevokeNode, RoomNodeState, RoomNodeView,
};
use cis_core::dag::Group;
use cis_core::event::{Actor, EventBody};
use cis_core::federation::envelope::{Draft, SIZE_MAX};
use cis_core::federation::membership::{self, BadJoinCode, JoinCode, Membership, Owners, Statement};
use cis_core::identity::Right;
use cis_core::ids::NodeDid;
use cis_core::policy::{Permit, act};
use cis_matrix::MatrixError;

type Outcome<T> = Result<T, Problem>;

/// So long it may take to read a room that was just joined, or to read back what was said there.
const READ_TIME_MAX: Duration = Duration::from_secs(30);

/// So long an owner waits for a homeserver that limits the rate of the account.
const RATE_TIME_MAX: Duration = Duration::from_secs(30);

impl NodesApi for Node {
    async fn nodes(&self, _: Permit<act::See>, query: ListNodes) -> Outcome<Listing<RoomNodeView>> {
        let _viewer = self.viewer();
        match query.room {
            Some(room) if !room.starts_with('!') => {
                let room = crate::matrix::resolved(&self.opened().await?, &room).await?;
                self.room_nodes(Some(&room)).await
            }
            room => self.room_nodes(room.as_deref()).await,
        }
    }

    async fn invite_nodes(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: InviteNodes,
    ) -> Outcome<InvitationView> {
        let _viewer = self.viewer();
        let own = self.signing_did()?;
        let room = self.join_room(&request.room).await?.room_id;
        let owners = match self.members.pinned(&room) {
            Some(owners) => owners,
            None => {
                let opened = self.opened().await?;
                let other = self.other_owner(&opened, &room).await.map_err(|error| matrix_problem(&error))?;
                if let Some(owner) = other {
                    let detail = format!("room {room} has an owner: {owner}");
                    return Err(Problem::new(ProblemKind::Conflict, detail).hint(
                        "join the room with a code from its owner: `cis node join CODE`; if that node is not the owner, make another room",
                    ));
                }
                let owners = Owners::one(own.clone());
                self.pin(&room, &owners)?;
                owners
            }
        };
        self.driver.tell(Command::ServeRoom { room: room.clone() });
        let membership = self.membership(&room).await?;
        if membership.owners().owners.contains(&own) && !membership.may(&own, Right::Coordinate) {
            let (may, tags) = (RIGHTS.into(), BTreeSet::new());
            let name = Some(crate::machine::name_in(&self.config.settings.federation));
            let admit = Statement::Admit { did: own, may, tags, name };
            self.say(&room, &membership, admit, Some(permit.actor())).await?;
        }
        let user = self.opened().await?.session.user.clone();
        let via = user.split_once(':').map(|(_, server)| server.to_owned()).into_iter().collect();
        let code = JoinCode { room: room.clone(), via, owners: owners.clone() };
        Ok(InvitationView {
            room_id: room,
            code: code.to_string(),
            owners: owners.owners.into_iter().collect(),
        })
    }

    async fn join_nodes(&self, _: Permit<act::ControlIdentity>, request: JoinNodes) -> Outcome<JoinedView> {
        let _viewer = self.viewer();
        let code: JoinCode = request
            .code
            .parse()
            .map_err(|bad: BadJoinCode| Problem::new(ProblemKind::BadInput, bad.to_string()))?;
        let JoinCode { room, via, owners } = code;
        if let Some(known) = self.members.pinned(&room).filter(|known| *known != owners) {
            let known: Vec<String> = known.owners.iter().map(ToString::to_string).collect();
            let detail = format!("this node knows other owners of room {room}: {}", known.join(", "));
            return Err(Problem::new(ProblemKind::Conflict, detail).hint(
                "find out who owns the room; if the known owners are wrong, stop the node and remove the room from rooms.json in its home",
            ));
        }
        let via: Vec<String> = via.iter().map(|server| format!("via={server}")).collect();
        let link = format!("https://matrix.to/#/{room}?{}", via.join("&"));
        self.join_room(&link).await?;
        self.pin(&room, &owners)?;
        self.driver.tell(Command::ServeRoom { room: room.clone() });
        Ok(JoinedView {
            room_id: room,
            owners: owners.owners.into_iter().collect(),
            did: self.identity.view().did,
        })
    }

    async fn drain_node(
        &self,
        _: Permit<act::StopNode>,
        request: DrainNode,
    ) -> Outcome<Listing<RoomNodeView>> {
        self.driver.ask(|reply| Command::Drain { draining: request.draining, reply }).await?;
        self.nodes_after(None).await
    }

    async fn admit_node(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: AdmitNode,
    ) -> Outcome<Listing<RoomNodeView>> {
        let _viewer = self.viewer();
        let AdmitNode { room, did, name, may, tags } = request;
        let room = self.served_room(&room).await?;
        let membership = self.membership(&room).await?;
        let admit = Statement::Admit { did, may, tags, name };
        self.say(&room, &membership, admit, Some(permit.actor())).await?;
        self.nodes_after(Some(&room)).await
    }

    async fn revoke_node(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: RevokeNode,
    ) -> Outcome<Listing<RoomNodeView>> {
        let _viewer = self.viewer();
        let RevokeNode { room, did } = request;
        if did == self.identity.view().did {
            let detail = "this is the key of this node itself";
            return Err(
                Problem::new(ProblemKind::BadInput, detail).hint("an owner on another node can revoke it")
            );
        }
        let room = self.served_room(&room).await?;
        let membership = self.membership(&room).await?;
        self.say(&room, &membership, Statement::Revoke { did }, Some(permit.actor())).await?;
        self.nodes_after(Some(&room)).await
    }
}

impl Node {
    /// Declares a concurrency group of a room, or removes it, as an owner of the room.
    pub(crate) async fn declare_group(&self, room: &str, name: String, group: Option<Group>) -> Outcome<()> {
        let _viewer = self.viewer();
        let room = self.served_room(room).await?;
        let membership = self.membership(&room).await?;
        self.say(&room, &membership, Statement::Group { name, group }, None).await
    }

    /// Waits until it is known which groups a room has, if its owners are known: a run that is about to be created names one.
    pub(crate) async fn groups_known(&self, room: &str) {
        if self.members.pinned(room).is_some() && self.members.of(room).is_none() {
            self.driver.tell(Command::ServeRoom { room: room.to_owned() });
            self.membership_when(room, |_| true).await;
            self.driver.tell(Command::NodeFound);
        }
    }

    /// The id of a room whose owners are known here, joined, and read from now on.
    async fn served_room(&self, room: &str) -> Outcome<String> {
        let room = self.join_room(room).await?.room_id;
        if self.members.pinned(&room).is_none() {
            let detail = format!("this node does not know who owns room {room}");
            return Err(Problem::new(ProblemKind::Conflict, detail).hint(
                "`cis node invite --room ROOM` makes this node the owner; in a room of others, ask an owner to do this",
            ));
        }
        self.driver.tell(Command::ServeRoom { room: room.clone() });
        Ok(room)
    }

    fn pin(&self, room: &str, owners: &Owners) -> Outcome<()> {
        self.members.pin(room, owners.clone()).map_err(|error| {
            let detail = format!("cannot keep who owns room {room}: {error}");
            Problem::new(ProblemKind::Unavailable, detail)
        })
    }

    /// The members of a room, once it was read.
    async fn membership(&self, room: &str) -> Outcome<Membership> {
        self.membership_when(room, |_| true).await.ok_or_else(|| {
            let detail = format!("room {room} could not be read");
            Problem::new(ProblemKind::Unavailable, detail)
                .hint("see what is wrong with it: `cis node status`")
        })
    }

    /// The members of a room, once it was read and this holds; none: it did not for long.
    async fn membership_when(&self, room: &str, holds: impl Fn(&Membership) -> bool) -> Option<Membership> {
        let until = Instant::now() + READ_TIME_MAX;
        let mut changes = self.members.subscribe();
        loop {
            if let Some(membership) = self.members.of(room).filter(&holds) {
                return Some(membership);
            }
            timeout_at(until, changes.changed()).await.ok()?.ok()?;
        }
    }

    /// The key that this node signs statements about a room with, and that it still has after a restart.
    ///
    /// # Errors
    /// The node has a new key that it takes at its next start: until then it signs with the old one, which would own nothing after that.
    fn signing_did(&self) -> Outcome<NodeDid> {
        let identity = self.identity.view();
        if identity.running.is_some() {
            let detail = "cannot sign statements about a room: the key was rotated, and the node still runs with the old one";
            return Err(Problem::new(ProblemKind::Conflict, detail)
                .hint("restart the node first: `cis node stop && cis node start`"));
        }
        Ok(identity.did)
    }

    /// Says something as an owner of a room. Where one owner is enough, it counts when this returns. `by`: whose request it is, for the
    /// record of rights.
    async fn say(
        &self,
        room: &str,
        membership: &Membership,
        statement: Statement,
        by: Option<Actor>,
    ) -> Outcome<()> {
        let own = self.signing_did()?;
        let owners = membership.owners();
        if !owners.owners.contains(&own) {
            let owners: Vec<String> = owners.owners.iter().map(ToString::to_string).collect();
            let detail = format!("this node does not own room {room}: {} do", owners.join(", "));
            return Err(Problem::new(ProblemKind::Denied, detail).hint("run this on the node of an owner"));
        }
        let placed = membership
            .next(statement)
            .map_err(|refused| Problem::new(ProblemKind::BadInput, refused.to_string()))?;
        let opened = self.opened().await?;
        // No node has rights without a record of the request.
        if let (Some(actor), Some(body)) = (by, record_of(room, &placed.statement)) {
            self.driver.ask(|reply| Command::Record { body: Box::new(body), actor, reply }).await?;
        }
        let body = serde_json::to_value(&placed).map_err(|error| internal(&error))?;
        let id = ulid::Ulid::new();
        let draft = Draft::of_room(membership::TYPE, body, id, room, &opened.session.user);
        let signed = draft.sign(&self.keys.node, SIZE_MAX).map_err(|error| internal(&error))?;
        let content = signed.into_content();
        // State is never encrypted: nodes that come later can read it.
        let key = placed.n.to_string();
        let (until, mut as_state) = (Instant::now() + RATE_TIME_MAX, true);
        loop {
            let sent = if as_state {
                opened.client.send_state(room, membership::TYPE, &key, content.clone()).await
            } else {
                opened.client.send(room, membership::TYPE, content.clone(), &id.to_string()).await
            };
            match sent {
                Err(MatrixError::Forbidden { .. }) if as_state => as_state = false,
                Err(MatrixError::RateLimited { retry_after }) if Instant::now() + retry_after < until => {
                    sleep(retry_after).await;
                }
                Err(error) => return Err(matrix_problem(&error)),
                Ok(_) => break,
            }
        }
        if owners.threshold > 1 {
            return Ok(());
        }
        match self.membership_when(room, |now| now.statements() >= placed.n).await {
            Some(now) if now.holds(&placed.statement) => {
                // The driver knows it before any request that comes after the answer: no task goes to a node that lost its rights.
                self.driver.tell(Command::NodeFound);
                Ok(())
            }
            Some(_) => {
                let detail = "another owner said something about the room at the same time";
                Err(Problem::new(ProblemKind::Conflict, detail).hint("try again"))
            }
            None => {
                let detail = format!("room {room} has it, and this node did not read it back");
                Err(Problem::new(ProblemKind::Unavailable, detail)
                    .hint("see `cis node list` and `cis group list` in a moment"))
            }
        }
    }

    /// The accounts of those who may coordinate in a room, as they announced themselves.
    pub(crate) fn accounts_of_voters(&self, room: &str) -> BTreeSet<String> {
        let voters = self.members.voters(room);
        let announced = self.shared.announced().remove(room).unwrap_or_default();
        voters.iter().filter_map(|did| Some(announced.get(did)?.user.clone())).collect()
    }

    /// The nodes after something was done: this node knows the request, also if it ends before it can say how they are.
    async fn nodes_after(&self, room: Option<&str>) -> Outcome<Listing<RoomNodeView>> {
        self.room_nodes(room).await.map_err(|problem| Problem { unprocessed: false, ..problem })
    }

    async fn room_nodes(&self, room: Option<&str>) -> Outcome<Listing<RoomNodeView>> {
        let mut items = self.driver.ask(|reply| Command::Nodes { reply }).await?;
        let announced = self.shared.announced();
        for (room_id, nodes) in announced {
            for (did, Announced { user, name, version, .. }) in nodes {
                let known = items.iter_mut().find(|node| node.room_id == room_id && node.did == did);
                match known {
                    Some(node) => {
                        node.user_id = Some(user);
                        if node.version.is_empty() {
                            (node.name, node.version) = (name, version);
                        }
                    }
                    None => {
                        let state = if self.members.standing(&room_id, &did).is_obeyed() {
                            RoomNodeState::Unheard
                        } else {
                            RoomNodeState::Pending
                        };
                        let user_id = Some(user);
                        items.push(RoomNodeView {
                            name,
                            version,
                            user_id,
                            ..RoomNodeView::new(&room_id, did, state)
                        });
                    }
                }
            }
        }
        for room_id in self.members.rooms() {
            let revoked = self.members.revoked(&room_id);
            items.retain(|node| node.room_id != room_id || !revoked.contains(&node.did));
            let state = RoomNodeState::Revoked;
            items.extend(revoked.into_iter().map(|did| RoomNodeView::new(&room_id, did, state)));
        }
        for node in &mut items {
            node.may = self.members.rights(&node.room_id, &node.did);
            if let Some(member) = self.members.member(&node.room_id, &node.did) {
                node.only_tags = member.tags;
                node.given_name = member.name;
            }
            if let Some(name) = &node.given_name {
                node.name.clone_from(name);
            }
            node.owner = self.members.owners(&node.room_id).is_some_and(|owners| owners.contains(&node.did));
        }
        items.retain(|node| room.is_none_or(|room| node.room_id == room));
        items.sort_by(|a, b| (&a.room_id, &a.name, &a.did).cmp(&(&b.room_id, &b.name, &b.did)));
        Ok(Listing { items, next: None })
    }
}

/// The event of a statement about rights of a node.
fn record_of(room: &str, statement: &Statement) -> Option<EventBody> {
    let room = room.to_owned();
    match statement.clone() {
        Statement::Admit { did, may, tags, name } => {
            Some(EventBody::NodeRights { room, node: did, may, tags, name, revoked: false })
        }
        Statement::Revoke { did } => Some(EventBody::NodeRights {
            room,
            node: did,
            may: BTreeSet::new(),
            tags: BTreeSet::new(),
            name: None,
            revoked: true,
        }),
        _ => None,
    }
}
