//! A port of this machine that passes bytes on to another one, until it is closed: what is between two homeservers.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::relay::pass;

/// Listens as long as the test's process lives.
#[derive(Clone)]
pub struct Strait(Arc<Mutex<State>>);

struct State {
    is_open: bool,
    passing: Vec<TcpStream>,
}

impl Strait {
    /// Everything that comes to the port `from` goes to the port `to`.
    pub fn between(from: u16, to: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, from))?;
        let strait = Self(Arc::new(Mutex::new(State { is_open: true, passing: Vec::new() })));
        let own = strait.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that cannot be passed on is hung up.
                let _ = own.pass(&client, to);
            }
        });
        Ok(strait)
    }

    fn pass(&self, client: &TcpStream, to: u16) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if !state.is_open {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
        state.passing.extend([client.try_clone()?, server.try_clone()?]);
        for (from, to) in [(client, &server), (&server, client)] {
            pass(from.try_clone()?, to.try_clone()?, |to| to.shutdown(Shutdown::Write));
        }
        Ok(())
    }

    /// Nothing passes any more.
    pub fn close(&self) {
        let mut state = self.0.lock().unwrap();
        state.is_open = false;
        for stream in state.passing.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Everything passes again.
    pub fn open(&self) {
        self.0.lock().unwrap().is_open = true;
    }
}
