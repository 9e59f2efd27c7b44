//! Serving the API at the Unix socket, and the router that every request passes, whichever way it comes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Router, middleware};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::errors::Failure;
use super::limits::Connections;
use super::node_api::NodeApi;
use super::peer::Peer;
use super::places::Places;
use super::{answers, operations, unread};
use cis_core::api::{Problem, ProblemKind};
use cis_local::SocketFile;

/// Interval at which the socket's file is checked. Clients wait longer than this for a missing socket.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A listening socket and its file.
pub type Bound = (UnixListener, SocketFile);

/// Number of requests that are being processed.
#[derive(Debug, Clone)]
pub struct UnderWay(Arc<watch::Sender<usize>>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl UnderWay {
    /// Waits until none is.
    pub async fn end(&self) {
        // The channel cannot close while it is used here.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// A request that is being processed.
struct Counted(UnderWay);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

async fn count(State(under_way): State<UnderWay>, request: Request, next: Next) -> Response {
    under_way.0.send_modify(|count| *count += 1);
    let _counted = Counted(under_way);
    next.run(request).await
}

/// Carries out a request that changes something to its end, also if its client goes away. The request would otherwise stop between two of
/// its steps.
async fn finish_changes(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    // A client that goes away keeps its place until then.
    let place = request.extensions().get::<ConnectInfo<Peer>>().cloned();
    let change = async move {
        let response = next.run(request).await;
        drop(place);
        response
    };
    match tokio::spawn(change).await {
        Ok(response) => response,
        Err(error) => {
            let detail = format!("the request failed: {error}");
            Failure(Problem::new(ProblemKind::Internal, detail)).into_response()
        }
    }
}

/// Serves the API until `stop` completes. The caller then waits for requests that change something, and cuts open streams. Requests are counted in `under_way`. If the socket's file is removed, `bind` makes
/// another one; open connections stay open.
///
/// # Errors
/// A listener failed.
pub async fn serve<N: NodeApi>(
    bound: Bound,
    bind: impl Fn() -> io::Result<Bound>,
    node: Arc<N>,
    under_way: &UnderWay,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router(Arc::clone(&node), under_way.clone()).into_make_service_with_connect_info::<Peer>();
    let open = Connections::default();
    let (mut listener, mut file) = bound;
    tokio::pin!(stop);
    loop {
        let server = axum::serve(Places::new(listener, Arc::clone(&node), open.clone()), service.clone());
        (listener, file) = tokio::select! {
            result = async { server.await } => return result,
            () = &mut stop => {
                file.remove();
                return Ok(());
            }
            again = rebind_when_removed(&file, &bind) => again,
        };
    }
}

/// Waits until the socket's file is removed, then binds the socket again.
async fn rebind_when_removed(file: &SocketFile, bind: impl Fn() -> io::Result<Bound>) -> Bound {
    let mut told = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if file.is_in_place() {
            continue;
        }
        match bind() {
            Ok(bound) => {
                let (was, socket) = (file.path().display(), bound.1.path().display());
                tracing::warn!(%was, %socket, "the socket was removed; this node listens again");
                return bound;
            }
            Err(error) if !told => {
                told = true;
                let socket = file.path().display();
                tracing::error!(%socket, %error, "the socket was removed, and this node cannot listen again yet");
            }
            Err(_) => {}
        }
    }
}

/// Every route, whichever way a request comes. Requests are counted in `under_way`.
pub(super) fn router<N: NodeApi>(node: Arc<N>, under_way: UnderWay) -> Router {
    operations::operations::<N>()
        .into_router()
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(answers::finish))
        .layer(middleware::from_fn(unread::read_to_its_end))
        .layer(middleware::from_fn_with_state(under_way, count))
        .layer(middleware::from_fn(finish_changes))
        .with_state(node)
}

async fn no_such_path(uri: Uri) -> Failure {
    let detail = format!("the API has no path {}", uri.path());
    Failure(
        Problem::new(ProblemKind::NotFound, detail)
            .hint("is the node of another version than this client? `cis node status` tells"),
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Failure {
    Failure::method(&method, uri.path())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::any;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tokio::sync::{Notify, mpsc};

    use super::*;

    #[tokio::test]
    async fn a_change_is_finished_although_its_client_went_away_and_a_look_is_not() {
        let (begun, mut has_begun) = mpsc::unbounded_channel();
        let (ended, mut has_ended) = mpsc::unbounded_channel();
        let go_on = Arc::new(Notify::new());
        let waits = Arc::clone(&go_on);
        let handler = move |method: Method| {
            let (begun, ended, waits) = (begun.clone(), ended.clone(), Arc::clone(&waits));
            async move {
                begun.send(()).unwrap();
                waits.notified().await;
                ended.send(method).unwrap();
            }
        };
        let under_way = UnderWay::default();
        let routes: Router = Router::new()
            .route("/", any(handler))
            .layer(middleware::from_fn_with_state(under_way.clone(), count))
            .layer(middleware::from_fn(finish_changes));
        for method in [Method::GET, Method::DELETE] {
            let request = Request::builder().method(method).uri("/").body(Body::empty()).unwrap();
            let answer = TowerToHyperService::new(routes.clone()).call(request);
            tokio::select! {
                _ = answer => panic!("the handler waits"),
                Some(()) = has_begun.recv() => {}
            }
        }
        go_on.notify_waiters();
        under_way.end().await;
        assert_eq!(has_ended.try_recv(), Ok(Method::DELETE));
        assert!(has_ended.try_recv().is_err());
    }
}
