//! Logging in and out.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use cis_matrix::{Client, MatrixError, Proof, Secret};

use crate::synapse::Synapse;
use crate::{Logged, WAIT, login};

#[tokio::test]
async fn a_password_gives_a_session_that_is_restored_without_the_homeserver() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let store = tempfile::tempdir().unwrap();
    let proof = Proof::Password(Secret::new(&user.password));
    let (client, session) = Client::login(login(&user, &synapse, proof, &store)).await.unwrap();
    assert_eq!((session.user.as_str(), client.user()), (user.id.as_str(), user.id.clone()));
    assert_ne!(session.device, user.device);
    assert_eq!(client.other_devices().await.unwrap(), 1, "that of the registration");
    client.next(None, WAIT).await.unwrap();
    for entry in std::fs::read_dir(store.path().join("store")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    drop(client);
    // Nothing listens there: a request would fail.
    let mut away = session.clone();
    away.homeserver = "http://127.0.0.1:1".to_owned();
    let path = store.path().join("store");
    let offline = Client::restore(path.clone(), away).await.unwrap();
    assert!(offline.position().await.unwrap().is_some());
    let error = offline.whoami().await.unwrap_err();
    assert!(matches!(error, MatrixError::Offline { .. }) && error.is_passing(), "{error}");
    drop(offline);
    let restored = Client::restore(path, session).await.unwrap();
    assert_eq!(restored.whoami().await.unwrap(), user.id);
    restored.logout().await.unwrap();
    assert!(matches!(restored.whoami().await.unwrap_err(), MatrixError::Unauthorized { .. }));
    restored.logout().await.unwrap();
}

#[tokio::test]
async fn a_token_is_a_login_of_whoever_has_it_until_it_is_revoked() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let mut wrong =
        login(&user, &synapse, Proof::Token(Secret::new(&user.token)), &tempfile::tempdir().unwrap());
    wrong.user = "somebody-else".to_owned();
    let error = Client::login(wrong).await.unwrap_err().to_string();
    assert!(error.contains("not of somebody-else"), "{error}");
    let ann = Logged::new(&user, &synapse).await;
    assert_eq!(ann.session.device, user.device);
    assert_eq!(ann.client.other_devices().await.unwrap(), 0);
    let batch = ann.client.next(None, WAIT).await.unwrap();
    user.end_login(&user.token);
    let error = ann.client.next(Some(&batch.next_batch), WAIT).await.unwrap_err();
    assert!(matches!(error, MatrixError::Unauthorized { .. }) && !error.is_passing(), "{error}");
    let again = login(&user, &synapse, Proof::Token(Secret::new(&user.token)), &ann.store);
    let error = Client::login(again).await.unwrap_err();
    assert!(
        matches!(&error, MatrixError::BadInput { detail } if detail.contains("not know this token")),
        "{error}"
    );
}

#[tokio::test]
async fn a_login_that_cannot_be_says_why() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let with = |homeserver: &str, password: &str| {
        let proof = Proof::Password(Secret::new(password));
        let mut login = login(&user, &synapse, proof, &tempfile::tempdir().unwrap());
        login.homeserver = homeserver.to_owned();
        Client::login(login)
    };
    let error = with(synapse.url(), "wrong").await.unwrap_err();
    assert!(matches!(error, MatrixError::Forbidden { .. }), "{error}");
    let error =
        with(&format!("{}/nothing/here", synapse.url()), &user.password).await.unwrap_err().to_string();
    assert!(error.contains("no Matrix homeserver answers"), "{error}");
    let error = with("http://127.0.0.1:1", &user.password).await.unwrap_err();
    assert!(matches!(error, MatrixError::Offline { .. }), "{error}");
    for address in ["", "http://", "not a name"] {
        let error = with(address, &user.password).await.unwrap_err();
        assert!(matches!(error, MatrixError::BadInput { .. }), "{address}: {error:?}");
    }
}

/// A homeserver stops those who guess passwords for a while. Nobody waits for that without a word.
#[tokio::test]
async fn a_login_after_too_many_wrong_passwords_says_how_long_to_wait() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    for _ in 0..10 {
        let proof = Proof::Password(Secret::new("wrong"));
        let store = tempfile::tempdir().unwrap();
        match Client::login(login(&user, &synapse, proof, &store)).await.map(drop).unwrap_err() {
            MatrixError::Forbidden { .. } => {}
            MatrixError::RateLimited { retry_after } => {
                assert!(retry_after > Duration::from_secs(1), "{retry_after:?}");
                return;
            }
            other => panic!("{other}"),
        }
    }
    panic!("ten wrong passwords in a row were looked at");
}
