//! One task has the account: it opens the login when it is first needed, and nothing else logs in or out.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use cis_matrix::{Client, Login, MatrixError, Proof, Session};
use tokio::sync::{mpsc, oneshot};

use super::files::{Files, Kept};
use super::{AccountError, Feed, Homeserver};

/// Commands that wait while another one is done.
const COMMANDS_MAX: usize = 64;

/// The account. Copies are the same one.
#[derive(Clone)]
pub struct Account {
    folder: Arc<PathBuf>,
    given: Option<GivenAccount>,
    to_task: Arc<OnceLock<mpsc::Sender<Command>>>,
}

/// Who logs in, where.
#[derive(Debug)]
pub struct NewLogin {
    /// URL of the homeserver, or a server's name.
    pub homeserver: String,
    /// `name` or `@name:server`.
    pub user: String,
    /// What proves it.
    pub proof: Proof,
    /// What other devices of the account call this one.
    pub device_name: String,
}

/// The account, logged in. Copies are the same one.
#[derive(Clone)]
pub struct Opened {
    /// What asks the homeserver.
    pub client: Arc<dyn Homeserver>,
    /// The login that this is; none: the account was given to the node.
    login: Option<Client>,
    /// News of it.
    pub feed: Feed,
    /// Who, where, as what.
    pub session: Arc<Session>,
}

/// An account that a node has without a login, as tests give it one.
#[derive(Debug, Clone)]
pub struct GivenAccount {
    /// The homeserver, as the account sees it.
    pub homeserver: Arc<dyn Homeserver>,
    /// Who, where, as what.
    pub session: Session,
}

impl Opened {
    fn new(client: Arc<dyn Homeserver>, login: Option<Client>, session: Session) -> Self {
        let feed = Feed::new(Arc::clone(&client));
        Self { client, login, feed, session: Arc::new(session) }
    }

    /// The login, which alone can verify others and be verified.
    ///
    /// # Errors
    /// There is none: the account was given to the node.
    pub fn login(&self) -> Result<&Client, MatrixError> {
        self.login.as_ref().ok_or_else(|| MatrixError::BadInput {
            detail: "this account was given to the node: it has no login that could be verified".to_owned(),
        })
    }
}

type Reply<T> = oneshot::Sender<Result<T, AccountError>>;

enum Command {
    Login(Box<NewLogin>, Reply<Opened>),
    Logout { forget: bool, reply: Reply<()> },
    Open(Reply<Opened>),
}

impl Account {
    /// The account whose files are in this folder, or the one that is given until somebody logs out. Looks at nothing yet.
    #[must_use]
    pub fn new(folder: PathBuf, given: Option<GivenAccount>) -> Self {
        Self { folder: Arc::new(folder), given, to_task: Arc::default() }
    }

    /// Logs in. Goes on also where nobody waits for it any more.
    ///
    /// # Errors
    /// There is a login already, or the homeserver refuses this one.
    pub async fn login(&self, login: NewLogin) -> Result<Opened, AccountError> {
        self.ask(|reply| Command::Login(Box::new(login), reply)).await
    }

    /// Ends the login, at the homeserver and here; or, with `forget`, here alone.
    ///
    /// # Errors
    /// There is none, or the homeserver does not answer: then it stays.
    pub async fn logout(&self, forget: bool) -> Result<(), AccountError> {
        self.ask(|reply| Command::Logout { forget, reply }).await
    }

    /// The account as it is logged in. The homeserver is not asked.
    ///
    /// # Errors
    /// Nobody has logged in, or the files cannot be used.
    pub async fn open(&self) -> Result<Opened, AccountError> {
        self.ask(Command::Open).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, AccountError> {
        let (reply, answer) = oneshot::channel();
        let start = || Task::start(Files::new(self.folder.as_ref().clone()), self.given.clone());
        let to_task = self.to_task.get_or_init(start);
        to_task.send(command(reply)).await.map_err(|_| AccountError::Stopping)?;
        answer.await.map_err(|_| AccountError::Stopping)?
    }
}

struct Task {
    files: Files,
    open: Option<Opened>,
}

impl Task {
    fn start(files: Files, given: Option<GivenAccount>) -> mpsc::Sender<Command> {
        let (to_task, commands) = mpsc::channel(COMMANDS_MAX);
        let open = given.map(|given| Opened::new(given.homeserver, None, given.session));
        tokio::spawn(Self { files, open }.run(commands));
        to_task
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            // Who asked may be gone: what was done is done.
            match command {
                Command::Login(login, reply) => drop(reply.send(self.login(*login).await)),
                Command::Logout { forget, reply } => drop(reply.send(self.logout(forget).await)),
                Command::Open(reply) => drop(reply.send(self.opened().await)),
            }
        }
    }

    async fn login(&mut self, login: NewLogin) -> Result<Opened, AccountError> {
        if let Some(kept) = self.load().await? {
            return Err(AccountError::LoggedIn { user: kept.session.user });
        }
        let store = self.files.new_store()?;
        let asked = Client::login(Login {
            homeserver: login.homeserver,
            user: login.user,
            proof: login.proof,
            device_name: login.device_name,
            store: store.clone(),
        });
        let kept = match asked.await {
            Ok((client, session)) => {
                let files = self.files.clone();
                let saved = blocking(move || files.save(session, &store)).await;
                if saved.is_err() {
                    // Nobody would know of that device any more.
                    let _ = client.logout().await;
                }
                saved.map(|kept| (client, kept))
            }
            Err(error) => Err(error.into()),
        };
        let (client, kept) = match kept {
            Ok(done) => done,
            Err(error) => {
                self.tidy(None).await;
                return Err(error);
            }
        };
        Ok(self.set(client, kept))
    }

    async fn logout(&mut self, forget: bool) -> Result<(), AccountError> {
        if !forget {
            self.opened().await?.client.logout().await?;
        } else if self.load().await.is_ok_and(|kept| kept.is_none()) {
            return Err(AccountError::NoAccount);
        }
        if let Some(open) = self.open.take() {
            open.feed.end();
        }
        let files = self.files.clone();
        blocking(move || files.forget()).await
    }

    async fn opened(&mut self) -> Result<Opened, AccountError> {
        if let Some(open) = &self.open {
            return Ok(open.clone());
        }
        let kept = self.load().await?.ok_or(AccountError::NoAccount)?;
        self.tidy(Some(kept.clone())).await;
        let client = Client::restore(self.files.store(&kept), kept.session.clone()).await?;
        Ok(self.set(client, kept))
    }

    fn set(&mut self, client: Client, kept: Kept) -> Opened {
        let opened = Opened::new(Arc::new(client.clone()), Some(client), kept.session);
        self.open.insert(opened).clone()
    }

    async fn load(&self) -> Result<Option<Kept>, AccountError> {
        let files = self.files.clone();
        blocking(move || files.load()).await
    }

    async fn tidy(&self, kept: Option<Kept>) {
        let files = self.files.clone();
        // What stays is tried again with the next login.
        let _ = tokio::task::spawn_blocking(move || files.tidy(kept.as_ref())).await;
    }
}

/// Work with files on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AccountError> + Send + 'static,
) -> Result<T, AccountError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(AccountError::Stopping))
}
