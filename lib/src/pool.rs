//! Work on many pieces at once, in their order, with few of them in memory.
//!
//! What must stay true: results come back in the order in which the work was given, and never more than a few pieces per
//! thread wait anywhere.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Enough to keep the threads busy while the one that feeds them waits for a disk.
const AHEAD: usize = 2;
/// The one that feeds more of them than this cannot keep up, and each holds megabytes.
const MOST: usize = 4;

pub struct Pool<J, D> {
    jobs: Sender<(J, SyncSender<D>)>,
    under_way: VecDeque<Receiver<D>>,
    most: usize,
}

/// A worker has ended before its work was done.
#[derive(Debug)]
pub struct Died;

impl<J: Send + 'static, D: Send + 'static> Pool<J, D> {
    /// `worker` is called once per thread and gives what does the work there.
    pub fn new<W: FnMut(J) -> D + Send + 'static>(worker: impl Fn() -> W) -> Pool<J, D> {
        let (jobs, waiting) = channel::<(J, SyncSender<D>)>();
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(MOST);
        for _ in 0..threads {
            let (waiting, mut work) = (Arc::clone(&waiting), worker());
            thread::spawn(move || {
                loop {
                    let next = waiting.lock().map(|waiting| waiting.recv());
                    let Ok(Ok((job, done))) = next else { return };
                    // Nobody waits for it any more: the whole was given up.
                    let _ = done.send(work(job));
                }
            });
        }
        Pool { jobs, under_way: VecDeque::new(), most: threads * AHEAD }
    }

    /// Takes one more piece. Once enough are under way, the oldest one's result comes back.
    pub fn push(&mut self, job: J) -> Result<Option<D>, Died> {
        let (done, result) = sync_channel(1);
        self.jobs.send((job, done)).map_err(|_| Died)?;
        self.under_way.push_back(result);
        if self.under_way.len() < self.most { Ok(None) } else { self.next() }
    }

    /// The oldest result that is still awaited.
    pub fn next(&mut self) -> Result<Option<D>, Died> {
        self.under_way.pop_front().map(|result| result.recv().map_err(|_| Died)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let mut pool = Pool::new(|| |n: u64| (0..(n * 7919) % 10_000).fold(n, |a, _| std::hint::black_box(a)));
        let mut seen = Vec::new();
        for n in 0..500 {
            seen.extend(pool.push(n).expect("alive"));
            assert!(pool.under_way.len() < pool.most);
        }
        while let Some(n) = pool.next().expect("alive") {
            seen.push(n);
        }
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_worker_that_panics_is_noticed() {
        let mut pool = Pool::new(|| |n: u64| assert_ne!(n, 1));
        let given = (0..2).all(|n| pool.push(n).is_ok());
        assert!(!given || (0..2).any(|_| pool.next().is_err()));
    }
}
