//! Work that would hold up the driver (reading and writing files of any size), done on threads of their
//! own. Nothing of it exists before the first piece of work.

use std::collections::VecDeque;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// More threads would only make the disk seek.
const THREADS_MAX: usize = 4;

type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// Why a piece of work has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Undone {
    /// It panicked.
    Panicked,
    /// No thread could be started for it. Another time one may be.
    NoThread,
}

/// A pool whose results wake the driver. Tickets tell results apart.
pub(super) struct Chores<T> {
    wake: Arc<OwnedFd>,
    pool: Option<Pool<T>>,
    tickets: u64,
    /// Tickets of work that nobody can do.
    undone: VecDeque<u64>,
    /// Of a thread's stack; none: as usual.
    stack_bytes: Option<usize>,
}

struct Pool<T> {
    jobs: Sender<(u64, Work<T>)>,
    done: Receiver<(u64, Result<T, Undone>)>,
}

impl<T: Send + 'static> Chores<T> {
    /// A pool that writes to this eventfd (eventfd(2)) when a result is there.
    pub(super) fn new(wake: Arc<OwnedFd>) -> Self {
        Self { wake, pool: None, tickets: 0, undone: VecDeque::new(), stack_bytes: None }
    }

    /// Does `work` on another thread.
    pub(super) fn submit(&mut self, work: impl FnOnce() -> T + Send + 'static) -> u64 {
        self.tickets += 1;
        if self.pool.is_none() {
            self.pool = start(&self.wake, self.stack_bytes);
        }
        // Its threads take jobs for as long as we hold the sender.
        let sent =
            self.pool.as_ref().is_some_and(|pool| pool.jobs.send((self.tickets, Box::new(work))).is_ok());
        if !sent {
            self.undone.push_back(self.tickets);
            wake(&self.wake);
        }
        self.tickets
    }

    /// Lets no thread be started from now on, or lets threads be started again.
    #[cfg(test)]
    pub(super) fn refuse_threads(&mut self, refused: bool) {
        // No address space has room for it, so that pthread_create(3) fails.
        self.stack_bytes = refused.then_some(1 << 47);
    }

    /// A result that is there, and its ticket.
    pub(super) fn next_done(&mut self) -> Option<(u64, Result<T, Undone>)> {
        if let Some(ticket) = self.undone.pop_front() {
            return Some((ticket, Err(Undone::NoThread)));
        }
        self.pool.as_ref()?.done.try_recv().ok()
    }
}

/// The counter of an eventfd cannot overflow by ones in our lifetime (eventfd(2)).
fn wake(eventfd: &OwnedFd) {
    let _ = rustix::io::write(eventfd, &1u64.to_ne_bytes());
}

/// Starts the threads; none where not one can be started.
fn start<T: Send + 'static>(eventfd: &Arc<OwnedFd>, stack_bytes: Option<usize>) -> Option<Pool<T>> {
    let (jobs, queue) = channel::<(u64, Work<T>)>();
    let (results, done) = channel();
    let queue = Arc::new(Mutex::new(queue));
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let mut started = 0;
    for _ in 0..threads {
        let (queue, results, eventfd) = (Arc::clone(&queue), results.clone(), Arc::clone(eventfd));
        let mut thread = thread::Builder::new().name("cis-files".to_owned());
        if let Some(bytes) = stack_bytes {
            thread = thread.stack_size(bytes);
        }
        let spawned = thread.spawn(move || {
            loop {
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((ticket, work)) = job else { return };
                let result = catch_unwind(AssertUnwindSafe(work)).map_err(|_| Undone::Panicked);
                if results.send((ticket, result)).is_err() {
                    return;
                }
                wake(&eventfd);
            }
        });
        match spawned {
            Ok(_) => started += 1,
            Err(error) => tracing::error!(%error, "a thread for files could not be started"),
        }
    }
    (started > 0).then_some(Pool { jobs, done })
}

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

    use super::*;

    #[test]
    fn results_wake_the_driver_and_a_panic_is_one_too() {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
        let mut chores = Chores::new(Arc::clone(&wake));
        assert!(chores.next_done().is_none());
        let good = chores.submit(|| 7);
        let bad = chores.submit(|| panic!("a fault that the test makes"));
        let mut done = Vec::new();
        while done.len() < 2 {
            let mut fds = [PollFd::new(&*wake, PollFlags::IN)];
            let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
            assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "nobody wakes the driver");
            let _ = rustix::io::read(&wake, &mut [0; 8]);
            done.extend(std::iter::from_fn(|| chores.next_done()));
        }
        done.sort();
        assert_eq!(done, [(good, Ok(7)), (bad, Err(Undone::Panicked))]);
    }

    #[test]
    fn work_without_a_thread_is_given_back_and_threads_are_tried_again() {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
        let mut chores = Chores::new(Arc::clone(&wake));
        chores.refuse_threads(true);
        let ticket = chores.submit(|| 7);
        let mut fds = [PollFd::new(&*wake, PollFlags::IN)];
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "nobody wakes the driver");
        let _ = rustix::io::read(&wake, &mut [0; 8]);
        assert_eq!(chores.next_done(), Some((ticket, Err(Undone::NoThread))));
        chores.refuse_threads(false);
        let ticket = chores.submit(|| 8);
        assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "it is done now");
        assert_eq!(chores.next_done(), Some((ticket, Ok(8))));
    }
}
