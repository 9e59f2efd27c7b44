//! A model server for agents, on loopback: what it answers is decided by the test.
//!
//! Enough of HTTP/1.1, and of the dialects of [`dialects`], for the programs that the tests start. It keeps
//! nothing between requests: an agent sends its whole conversation each time, and [`Turn`] is what matters of it.

mod dialects;
mod http;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use self::http::{Request, respond, respond_stream};

/// Where a conversation stands.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    /// What the user said last.
    pub user: String,
    /// What the tools that were called since then gave back.
    pub results: Vec<String>,
    /// Names of the tools that the agent has.
    pub tools: Vec<String>,
}

/// What the model says next.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Words.
    Text(String),
    /// Run this with the agent's tool for commands.
    Run(String),
}

type Script = dyn Fn(&Turn) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    stopping: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    turns: Mutex<Vec<Turn>>,
}

/// The server. Dropping it ends it.
pub struct Model {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Model {
    /// Listens on a port of its own.
    pub fn start(script: impl Fn(&Turn) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            turns: Mutex::default(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept(&listener, &shared))
        };
        Self { shared, address, accepting: Some(accepting) }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All turns that it was asked for so far.
    pub fn turns(&self) -> Vec<Turn> {
        self.shared.turns.lock().unwrap().clone()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The accept below waits for a connection; this is one.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(copy) = stream.try_clone() {
            shared.open.lock().unwrap().push(copy);
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // An agent that is ended hangs up in the middle: that is no failure of the server.
            let _ = serve(&stream, &shared);
        });
    }
}

/// One connection: requests until it closes, or until an answer was a stream.
fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = std::io::BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        let Some(dialect) = dialects::of(&request) else {
            respond(stream, &dialects::other(&request))?;
            continue;
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let turn = (dialect.turn)(&body);
        // Side questions (who speaks next, which model fits) are no part of the conversation.
        if !dialect.streams(&request, &body) && !dialect.converses_whole {
            respond(stream, &dialects::aside(&body))?;
            continue;
        }
        shared.turns.lock().unwrap().push(turn.clone());
        let reply = (shared.script)(&turn);
        if dialect.streams(&request, &body) {
            let events = (dialect.stream)(&reply, &turn);
            return respond_stream(stream, &events);
        }
        respond(stream, &(dialect.whole)(&reply, &turn))?;
    }
    Ok(())
}
