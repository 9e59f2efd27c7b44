//! Why the account cannot do something.

use std::io;
use std::path::PathBuf;

use cis_matrix::MatrixError;

/// Why the account cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody has logged in.
    #[error("this node has no Matrix account")]
    NoAccount,
    /// Somebody has.
    #[error("this node is logged in as {user} already")]
    LoggedIn {
        /// Who.
        user: String,
    },
    /// The homeserver, or what stands between.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    /// Our files cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of the login holds something else.
    #[error("the file of the Matrix login, {}, is damaged: {detail}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}
