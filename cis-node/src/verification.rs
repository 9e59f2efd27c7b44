//! The device that the node's Matrix account is, as the API sees it: how it stands, its recovery key, and the comparisons under way.

use std::time::Duration;

use cis_matrix::{Client, Secret, Standing, Step};

use super::matrix::{WAIT_MAX, account_problem, matrix_problem};
use crate::account::{Progress, Stands, Word};
use crate::node::Node;
use crate::server::VerificationApi;
use crate::verifications::Kept;
use cis_core::api::{
    BeginMatrixSso, BeginVerification, EmojiView, MatrixSsoView, MatrixStandingView, NewRecoveryView,
    Problem, ProblemKind, ReadVerification, RecoverMatrix, SayVerification, VerificationState,
    VerificationView, VerificationWord,
};
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// The protocol gives a request ten minutes: ours is ended before.
const PATIENCE_MAX: Duration = Duration::from_secs(540);

/// A recovery key has 59 characters, and a passphrase need not be much longer.
const RECOVERY_KEY_BYTES_MAX: usize = 4096;

impl VerificationApi for Node {
    async fn matrix_standing(&self, _: Permit<act::ReadMatrix>) -> Outcome<MatrixStandingView> {
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let login = opened.login().map_err(|error| matrix_problem(&error))?;
        login.standing().await.map(standing_view).map_err(|error| matrix_problem(&error))
    }

    async fn recover_matrix(
        &self,
        _: Permit<act::ControlMatrix>,
        request: RecoverMatrix,
    ) -> Outcome<MatrixStandingView> {
        let key = Secret::new(request.recovery_key);
        if key.reveal().trim().is_empty() || key.reveal().len() > RECOVERY_KEY_BYTES_MAX {
            return Err(Problem::new(ProblemKind::BadInput, "this is no recovery key"));
        }
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        // Keys of rooms are read for those that are known.
        let login = opened.login().map_err(|error| matrix_problem(&error))?;
        opened.feed.refresh().await.map_err(|error| matrix_problem(&error))?;
        login.recover(key).await.map_err(|error| matrix_problem(&error))?;
        login.standing().await.map(standing_view).map_err(|error| matrix_problem(&error))
    }

    async fn new_matrix_recovery(&self, _: Permit<act::ControlMatrix>) -> Outcome<NewRecoveryView> {
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let login = opened.login().map_err(|error| matrix_problem(&error))?;
        opened.feed.refresh().await.map_err(|error| matrix_problem(&error))?;
        // What cannot be told afterwards is asked before the key is made.
        let before = login.standing().await.map_err(|error| matrix_problem(&error))?;
        let key = login.new_recovery().await.map_err(|error| matrix_problem(&error))?;
        let after = login.standing().await.unwrap_or(Standing { recovery: true, ..before });
        Ok(NewRecoveryView { recovery_key: key.reveal().to_owned(), standing: standing_view(after) })
    }

    async fn begin_verification(
        &self,
        _: Permit<act::ControlMatrix>,
        request: BeginVerification,
    ) -> Outcome<VerificationView> {
        let viewer = self.viewer();
        let user = request.user.trim().to_owned();
        self.verifications.check_free(&user)?;
        let opened = self.opened().await?;
        let patience = Duration::from_millis(request.timeout_ms).min(PATIENCE_MAX);
        let comparison = opened.compare(&user, patience).await.map_err(|error| account_problem(&error))?;
        let id = self.verifications.keep(Kept { user: user.clone(), comparison: comparison.clone() })?;
        // The other side is told of its end also where nobody waits for it here.
        let until_end = comparison.clone();
        tokio::spawn(async move {
            until_end.ended().await;
            drop(viewer);
        });
        Ok(view(id, user, comparison.look(0, Duration::ZERO).await))
    }

    async fn read_verification(
        &self,
        _: Permit<act::ControlMatrix>,
        id: String,
        query: ReadVerification,
    ) -> Outcome<VerificationView> {
        let _viewer = self.viewer();
        let kept = self.verifications.find(&id)?;
        let wait = query.wait_ms.map_or(Duration::ZERO, Duration::from_millis).min(WAIT_MAX);
        let progress = kept.comparison.look(query.after.unwrap_or(0), wait).await;
        Ok(view(id, kept.user, progress))
    }

    async fn say_verification(
        &self,
        _: Permit<act::ControlMatrix>,
        id: String,
        request: SayVerification,
    ) -> Outcome<VerificationView> {
        let _viewer = self.viewer();
        let kept = self.verifications.find(&id)?;
        let word = match request.say {
            VerificationWord::Match => Word::Same,
            VerificationWord::Mismatch => Word::Different,
            VerificationWord::Cancel => Word::Cancel,
        };
        // To cancel what has ended is no fault.
        if word != Word::Cancel || !kept.comparison.has_ended() {
            kept.comparison.say(word).await.map_err(|error| matrix_problem(&error))?;
        }
        Ok(view(id, kept.user, kept.comparison.look(0, Duration::ZERO).await))
    }

    async fn begin_matrix_sso(
        &self,
        _: Permit<act::ControlMatrix>,
        request: BeginMatrixSso,
    ) -> Outcome<MatrixSsoView> {
        let _viewer = self.viewer();
        let address = Client::sso_address(&request.homeserver, &request.redirect).await;
        Ok(MatrixSsoView { address: address.map_err(|error| matrix_problem(&error))? })
    }
}

fn standing_view(standing: Standing) -> MatrixStandingView {
    let next = next_steps(&standing);
    MatrixStandingView {
        user_id: standing.user,
        device_id: standing.device,
        device_key: standing.key,
        identity: standing.identity,
        signed: standing.signed,
        may_sign: standing.may_sign,
        recovery: standing.recovery,
        backup: standing.backup,
        backs_up: standing.backs_up,
        next,
    }
}

/// What to do, where something is missing.
fn next_steps(standing: &Standing) -> Vec<String> {
    let with_key = "`cis matrix verify --recovery-key-stdin`";
    let new_key = "`cis matrix verify --new-recovery-key`";
    let mut steps = Vec::new();
    if !standing.signed {
        if standing.recovery {
            steps.push(format!("Sign it with the account's recovery key: {with_key}."));
        }
        if standing.identity {
            let begin = if standing.recovery { "Or compare" } else { "Compare" };
            let user = &standing.user;
            steps.push(format!(
                "{begin} emoji with another device of the account: `cis matrix verify {user}`."
            ));
        } else {
            steps.push("Log out and in again, or log in with a client that sets it up (Element).".to_owned());
        }
    } else if !standing.recovery && !standing.may_sign {
        // Only a device that has the account's keys can set recovery up.
        steps.push(
            "Set recovery up with the device that signed this one (Element: Settings, Encryption)."
                .to_owned(),
        );
    } else if !standing.recovery {
        steps.push(format!(
            "Without a recovery key, a new device reads nothing of what was said in encrypted rooms before it. Make one: \
             {new_key}."
        ));
    } else if !standing.backs_up {
        steps.push(if standing.backup {
            format!("Give this device the key of the backup: {with_key}.")
        } else {
            format!("Set the backup up, with another recovery key: {new_key}.")
        });
    }
    steps
}

fn view(id: String, user: String, progress: Progress) -> VerificationView {
    let mut view = VerificationView {
        id,
        user_id: user,
        revision: progress.revision,
        state: VerificationState::Asked,
        emoji: Vec::new(),
        numbers: None,
        device_id: None,
        by_us: None,
        code: None,
        detail: None,
    };
    if let Some(Step::Compare { emoji, numbers, device }) = progress.shown {
        view.emoji = emoji.into_iter().map(|one| EmojiView { symbol: one.symbol, name: one.name }).collect();
        (view.numbers, view.device_id) = (Some(numbers), Some(device));
    }
    view.state = match progress.stands {
        Stands::At(Step::Asked) => VerificationState::Asked,
        Stands::At(Step::Accepted) => VerificationState::Accepted,
        Stands::At(Step::Compare { .. }) => VerificationState::Compare,
        Stands::At(Step::Confirmed) => VerificationState::Confirmed,
        Stands::At(Step::Done) => VerificationState::Verified,
        Stands::At(Step::Cancelled { by_us, code }) => {
            view.detail = Some(why(&code).to_owned());
            (view.by_us, view.code) = (Some(by_us), Some(code));
            VerificationState::Cancelled
        }
        Stands::TimedOut => VerificationState::TimedOut,
        Stands::Failed(detail) => {
            view.detail = Some(detail);
            VerificationState::Failed
        }
    };
    view
}

/// Codes of the specification in words.
fn why(code: &str) -> &'static str {
    match code {
        "m.user" => "it was not wanted",
        "m.timeout" => "it took too long",
        "m.unknown_transaction" => "the other side does not know of it",
        "m.unknown_method" => "the other side cannot compare emoji",
        "m.unexpected_message" | "m.invalid_message" => "the two clients did not understand each other",
        "m.key_mismatch" | "m.mismatched_commitment" => {
            "the keys are not those that were agreed on: somebody stands between"
        }
        "m.user_mismatch" => "it was somebody else than expected",
        "m.accepted" => "another device of the same account took it",
        "m.mismatched_sas" => "what was shown differs: somebody may stand between",
        _ => "no reason that is known was given",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_what_to_do() {
        let fine = Standing {
            user: "@cis:example.org".to_owned(),
            device: "ABC".to_owned(),
            key: "key".to_owned(),
            identity: true,
            signed: true,
            may_sign: true,
            recovery: true,
            backup: true,
            backs_up: true,
        };
        let steps = |standing: &Standing| next_steps(standing).join(" ");
        assert_eq!(steps(&fine), "");
        let unsigned = Standing { signed: false, may_sign: false, backs_up: false, ..fine.clone() };
        let text = steps(&unsigned);
        assert!(text.contains("--recovery-key-stdin") && text.contains("Or compare emoji"), "{text}");
        let alone = Standing { recovery: false, backup: false, ..unsigned };
        assert!(steps(&alone).starts_with("Compare emoji"), "{}", steps(&alone));
        let nobody = Standing { identity: false, ..alone };
        assert!(steps(&nobody).starts_with("Log out and in"), "{}", steps(&nobody));
        let bare = Standing { recovery: false, backup: false, backs_up: false, ..fine.clone() };
        assert!(steps(&bare).contains("--new-recovery-key"), "{}", steps(&bare));
        assert!(steps(&Standing { backs_up: false, ..fine.clone() }).contains("--recovery-key-stdin"));
        assert!(steps(&Standing { backs_up: false, backup: false, ..fine }).contains("--new-recovery-key"));
    }
}
