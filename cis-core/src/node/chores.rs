//! Work that would hold up the driver (reading and writing files of any size), done on threads of their
//! own. Nothing of it exists before the first piece of work.

use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// More threads would only make the disk seek.
const THREADS_MAX: usize = 4;

type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// A pool whose results wake the driver. Tickets tell results apart.
pub(super) struct Chores<T> {
    wake: Arc<OwnedFd>,
    pool: Option<Pool<T>>,
    tickets: u64,
}

struct Pool<T> {
    jobs: Sender<(u64, Work<T>)>,
    done: Receiver<(u64, Option<T>)>,
}

impl<T: Send + 'static> Chores<T> {
    /// A pool that writes to this eventfd (eventfd(2)) when a result is there.
    pub(super) fn new(wake: Arc<OwnedFd>) -> Self {
        Self { wake, pool: None, tickets: 0 }
    }

    /// Does `work` on another thread.
    pub(super) fn submit(&mut self, work: impl FnOnce() -> T + Send + 'static) -> u64 {
        self.tickets += 1;
        let wake = &self.wake;
        let pool = self.pool.get_or_insert_with(|| start(wake));
        // Its threads take jobs for as long as we hold the sender.
        let _ = pool.jobs.send((self.tickets, Box::new(work)));
        self.tickets
    }

    /// A result that is there: its ticket, and none where the work panicked.
    pub(super) fn next_done(&mut self) -> Option<(u64, Option<T>)> {
        self.pool.as_ref()?.done.try_recv().ok()
    }
}

fn start<T: Send + 'static>(wake: &Arc<OwnedFd>) -> Pool<T> {
    let (jobs, queue) = channel::<(u64, Work<T>)>();
    let (results, done) = channel();
    let queue = Arc::new(Mutex::new(queue));
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    for _ in 0..threads {
        let (queue, results, wake) = (Arc::clone(&queue), results.clone(), Arc::clone(wake));
        let spawned = thread::Builder::new().name("cis-files".to_owned()).spawn(move || {
            loop {
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((ticket, work)) = job else { return };
                let result = catch_unwind(AssertUnwindSafe(work)).ok();
                if results.send((ticket, result)).is_err() {
                    return;
                }
                // The counter of an eventfd cannot overflow by ones in our lifetime (eventfd(2)).
                let _ = rustix::io::write(&wake, &1u64.to_ne_bytes());
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "a thread for files could not be started");
        }
    }
    Pool { jobs, done }
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
        assert_eq!(done, [(good, Some(7)), (bad, None)]);
    }
}
