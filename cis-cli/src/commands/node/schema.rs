//! `cis node schema`.

use crate::error::{CliError, Exit};
use crate::output;

/// Print the description of the node's API, for client generators; needs no node
///
/// A node serves the same documents at /v1/openapi.json, /v1/asyncapi.json and /v1/docs (HTML).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node schema > openapi.json
  cis node schema asyncapi > asyncapi.json
  cis node schema html > api.html")]
pub(crate) struct Args {
    /// The document: requests and responses, streams, or both as HTML
    #[arg(value_enum, default_value_t = Document::Openapi)]
    document: Document,
}

/// What can be printed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Document {
    /// OpenAPI 3.1
    Openapi,
    /// AsyncAPI 3.0
    Asyncapi,
    /// HTML page
    Html,
}

pub(super) fn run(args: &Args) -> Result<Exit, CliError> {
    let documents = cis_node::api_documents();
    let text = match args.document {
        Document::Openapi => format!("{:#}\n", documents.openapi),
        Document::Asyncapi => format!("{:#}\n", documents.asyncapi),
        Document::Html => documents.page,
    };
    output::print(&text)?;
    Ok(Exit::OK)
}
