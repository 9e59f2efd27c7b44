//! Comparing emoji between two accounts, and between two devices of one.

use std::time::Duration;

use cis_matrix::{Client, MatrixError, Proof, Secret, Step, Verification};
use tokio::task::JoinHandle;

use crate::synapse::Synapse;
use crate::{Logged, login};

/// Follows an account as long as it lives: keys come with what it hears.
struct Followed(JoinHandle<()>);

impl Followed {
    fn new(client: &Client) -> Self {
        let client = client.clone();
        Self(tokio::spawn(async move {
            loop {
                let place = client.position().await.unwrap();
                if client.next(place.as_deref(), Duration::from_secs(5)).await.is_err() {
                    return;
                }
            }
        }))
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Two accounts that are followed.
struct Pair {
    _synapse: Synapse,
    ann: Logged,
    bob: Logged,
    _followed: [Followed; 2],
}

impl Pair {
    async fn new() -> Self {
        let synapse = Synapse::shared();
        let ann = Logged::new(&synapse.register("ann"), &synapse).await;
        let bob = Logged::new(&synapse.register("bob"), &synapse).await;
        let followed = [Followed::new(&ann.client), Followed::new(&bob.client)];
        Self { _synapse: synapse, ann, bob, _followed: followed }
    }

    /// Ann asks, and bob finds it.
    async fn asked(&self) -> (Verification, Verification) {
        let anns = self.ann.client.verify(&self.bob.session.user).await.unwrap();
        assert_eq!(anns.next(None).await.unwrap(), Step::Asked);
        (anns, waiting(&self.bob.client, &self.ann.session.user).await)
    }
}

/// The request of somebody, as soon as it has come.
async fn waiting(client: &Client, user: &str) -> Verification {
    client.check_verifiable(user).await.unwrap();
    for _ in 0..600 {
        client.join_direct_rooms_of(user).await.unwrap();
        if let Some(found) = client.asked_by(user).await.unwrap() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no request of {user} comes");
}

/// Somebody is known to be verified, once the signature has come back.
async fn trusted(client: &Client, user: &str) {
    for _ in 0..600 {
        if client.is_verified(user).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{user} is not verified");
}

/// The first step that is looked for, or the last one.
async fn until(verification: &Verification, wanted: impl Fn(&Step) -> bool) -> Step {
    let mut step = None;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(40), verification.next(step.as_ref()));
        let next = next.await.unwrap_or_else(|_| panic!("nothing follows on {step:?}")).unwrap();
        if wanted(&next) || next.is_end() {
            return next;
        }
        step = Some(next);
    }
}

async fn shown(verification: &Verification) -> Step {
    until(verification, |step| matches!(step, Step::Compare { .. })).await
}

async fn end(verification: &Verification) -> Step {
    until(verification, Step::is_end).await
}

fn cancelled(by_us: bool, code: &str) -> Step {
    Step::Cancelled { by_us, code: code.to_owned() }
}

#[tokio::test]
async fn both_see_the_same_and_trust_each_other_then() {
    let pair = Pair::new().await;
    let (ann, bob) = (&pair.ann.session.user, &pair.bob.session.user);
    assert!(!pair.ann.client.is_verified(bob).await.unwrap());
    let (anns, bobs) = pair.asked().await;
    assert_eq!((anns.user(), bobs.user()), (bob.clone(), ann.clone()));
    assert!(anns.confirm().await.unwrap_err().to_string().contains("nothing is shown"));
    let (left, right) = tokio::join!(shown(&anns), shown(&bobs));
    let (Step::Compare { emoji, numbers, device }, Step::Compare { emoji: other, numbers: same, .. }) =
        (&left, &right)
    else {
        panic!("{left:?} {right:?}");
    };
    assert_eq!((emoji, numbers, emoji.len()), (other, same, 7));
    assert_eq!(device, &pair.bob.session.device);
    anns.confirm().await.unwrap();
    assert_eq!(until(&anns, |step| *step == Step::Confirmed).await, Step::Confirmed);
    bobs.confirm().await.unwrap();
    let ends = tokio::join!(end(&anns), end(&bobs));
    assert_eq!(ends, (Step::Done, Step::Done));
    tokio::join!(trusted(&pair.ann.client, bob), trusted(&pair.bob.client, ann));
}

#[tokio::test]
async fn what_differs_is_said_to_both_and_nobody_is_trusted() {
    let pair = Pair::new().await;
    let (anns, bobs) = pair.asked().await;
    let _ = tokio::join!(shown(&anns), shown(&bobs));
    anns.confirm().await.unwrap();
    bobs.mismatch().await.unwrap();
    let ends = tokio::join!(end(&anns), end(&bobs));
    assert_eq!(ends, (cancelled(false, "m.mismatched_sas"), cancelled(true, "m.mismatched_sas")));
    assert!(!pair.ann.client.is_verified(&pair.bob.session.user).await.unwrap());
}

#[tokio::test]
async fn either_side_may_end_it_at_any_time() {
    let pair = Pair::new().await;
    let (anns, bobs) = pair.asked().await;
    anns.cancel().await.unwrap();
    assert_eq!(end(&anns).await, cancelled(true, "m.user"));
    // Whoever has not accepted yet finds nothing to accept.
    for _ in 0..100 {
        if pair.bob.client.asked_by(&pair.ann.session.user).await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(end(&bobs).await, cancelled(false, "m.user"));
    // The direct room is there already.
    let (anns, bobs) = pair.asked().await;
    let _ = tokio::join!(shown(&anns), shown(&bobs));
    bobs.cancel().await.unwrap();
    let ends = tokio::join!(end(&anns), end(&bobs));
    assert_eq!(ends, (cancelled(false, "m.user"), cancelled(true, "m.user")));
}

#[tokio::test]
async fn whoever_cannot_be_verified_is_refused_with_the_reason() {
    let synapse = Synapse::shared();
    let ann = Logged::new(&synapse.register("ann"), &synapse).await;
    let refused = async |user: &str| ann.client.verify(user).await.map(drop).unwrap_err();
    let error = refused("@nobody-at-all:cis.test").await;
    assert!(matches!(&error, MatrixError::NotFound { what } if what.contains("@nobody-at-all")), "{error:?}");
    // An account that nobody has logged into with encryption.
    let bare = synapse.register("bare");
    let error = refused(&bare.id).await.to_string();
    assert!(error.contains("cross-signing is not set up"), "{error}");
    let error = refused(&ann.session.user).await.to_string();
    assert!(error.contains("no other device"), "{error}");
    assert!(matches!(refused("ann").await, MatrixError::BadInput { .. }));
    assert!(!ann.client.is_verified(&bare.id).await.unwrap());
}

#[tokio::test]
async fn a_second_device_is_signed_by_the_first_one_and_not_before_signs_anybody() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let first = Logged::new(&user, &synapse).await;
    let _followed = Followed::new(&first.client);
    let store = tempfile::tempdir().unwrap();
    let by_password = login(&user, &synapse, Proof::Password(Secret::new(&user.password)), &store);
    let (second, _) = Client::login(by_password).await.unwrap();
    let _also = Followed::new(&second);
    let standing = second.standing().await.unwrap();
    assert!(standing.identity && !standing.signed && !standing.may_sign, "{standing:?}");
    let bob = Logged::new(&synapse.register("bob"), &synapse).await;
    let error = second.verify(&bob.session.user).await.map(drop).unwrap_err();
    assert_eq!(error, MatrixError::Unsigned);

    let theirs = second.verify(&user.id).await.unwrap();
    let ours = waiting(&first.client, &user.id).await;
    let (left, right) = tokio::join!(shown(&ours), shown(&theirs));
    let emoji = |step: &Step| match step {
        Step::Compare { emoji, .. } => emoji.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(emoji(&left), emoji(&right));
    let said = tokio::join!(ours.confirm(), theirs.confirm());
    assert!(said.0.is_ok() && said.1.is_ok(), "{said:?}");
    assert_eq!(tokio::join!(end(&ours), end(&theirs)), (Step::Done, Step::Done));
    for _ in 0..100 {
        if second.standing().await.unwrap().signed {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", second.standing().await.unwrap());
}
