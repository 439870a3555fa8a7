//! Work on many pieces at once, in their order, with few of them in memory.
//!
//! Whoever feeds it works too: there are as many threads as processors, with the feeder's own. Where that one slept while
//! others worked, and they for lack of work, systems put several of them on one processor and left another idle for
//! milliseconds. What must stay true: results come back in the order in which the work was given, and no more than `most` of
//! them are under way.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The one that feeds more others than this cannot keep up, and each holds megabytes.
const MOST: usize = 4;

pub struct Pool<J, D> {
    waiting: Arc<Waiting<J, D>>,
    under_way: VecDeque<Receiver<D>>,
    threads: usize,
    /// The feeder's own hand.
    own: Option<Hand<J, D>>,
}

type Hand<J, D> = Box<dyn FnMut(J) -> D + Send>;

/// Somebody has ended before their work was done.
#[derive(Debug)]
pub struct Died;

impl<J: Send + 'static, D: Send + 'static> Pool<J, D> {
    /// `worker` is called once per thread and gives what does the work there.
    pub fn new<W: FnMut(J) -> D + Send + 'static>(worker: impl Fn() -> W) -> Pool<J, D> {
        // Two also where there is one processor: the feeder waits for disks.
        Pool::of(thread::available_parallelism().map_or(1, |n| n.get()).clamp(2, MOST + 1), worker)
    }

    fn of<W: FnMut(J) -> D + Send + 'static>(threads: usize, worker: impl Fn() -> W) -> Pool<J, D> {
        let waiting = Arc::new(Waiting { jobs: Mutex::default(), more: Condvar::new() });
        for _ in 1..threads {
            let (waiting, mut work) = (Arc::clone(&waiting), worker());
            thread::spawn(move || {
                while let Some((job, done)) = waiting.next() {
                    // Nobody waits for it any more: the whole was given up.
                    let _ = done.send(work(job));
                }
            });
        }
        Pool { waiting, under_way: VecDeque::new(), threads, own: Some(Box::new(worker())) }
    }

    pub fn push(&mut self, job: J) {
        let (done, result) = sync_channel(1);
        self.waiting.put(job, done);
        self.under_way.push_back(result);
    }

    /// The oldest result, if it is there; to be asked until there is none before more is pushed. Where so much waits that the
    /// others have enough to do meanwhile, some of it is done here; and where results pile up behind a slow one, it is
    /// waited for.
    pub fn ready(&mut self) -> Result<Option<D>, Died> {
        loop {
            let result = self.take()?;
            let full = self.under_way.len() >= most(self.threads);
            if result.is_some() || !full && self.waiting.jobs().all.len() <= self.threads {
                return Ok(result);
            }
            if !self.work()? {
                return self.next();
            }
        }
    }

    /// The oldest result that is still awaited.
    pub fn next(&mut self) -> Result<Option<D>, Died> {
        loop {
            let result = self.take()?;
            if result.is_some() {
                return Ok(result);
            }
            if !self.work()? {
                return self.under_way.pop_front().map(|oldest| oldest.recv().map_err(|_| Died)).transpose();
            }
        }
    }

    fn take(&mut self) -> Result<Option<D>, Died> {
        match self.under_way.front().map(Receiver::try_recv) {
            Some(Ok(result)) => {
                self.under_way.pop_front();
                Ok(Some(result))
            }
            Some(Err(TryRecvError::Disconnected)) => Err(Died),
            Some(Err(TryRecvError::Empty)) | None => Ok(None),
        }
    }

    /// Does one of those that wait, if any does.
    fn work(&mut self) -> Result<bool, Died> {
        let Some((job, done)) = self.waiting.jobs().all.pop_front() else { return Ok(false) };
        let Some(own) = &mut self.own else { return Err(Died) };
        match catch_unwind(AssertUnwindSafe(|| own(job))) {
            // There is room for it, and somebody awaits it.
            Ok(result) => drop(done.send(result)),
            // Heard of when its turn comes. Whatever state it left the hand in, it is not used again.
            Err(_) => self.own = None,
        }
        Ok(true)
    }
}

/// So many are under way at most: each thread has one, as many wait, and some are done behind a slow one.
fn most(threads: usize) -> usize {
    2 * threads + 4
}

impl<J, D> Drop for Pool<J, D> {
    fn drop(&mut self) {
        self.waiting.jobs().ended = true;
        self.waiting.more.notify_all();
    }
}

struct Waiting<J, D> {
    jobs: Mutex<Jobs<J, D>>,
    more: Condvar,
}

struct Jobs<J, D> {
    all: VecDeque<(J, SyncSender<D>)>,
    ended: bool,
}

impl<J, D> Default for Jobs<J, D> {
    fn default() -> Jobs<J, D> {
        Jobs { all: VecDeque::new(), ended: false }
    }
}

impl<J, D> Waiting<J, D> {
    /// Nothing is done while it is locked that could leave it half done.
    fn jobs(&self) -> MutexGuard<'_, Jobs<J, D>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, job: J, done: SyncSender<D>) {
        self.jobs().all.push_back((job, done));
        self.more.notify_one();
    }

    fn next(&self) -> Option<(J, SyncSender<D>)> {
        let idle = |jobs: &mut Jobs<J, D>| jobs.all.is_empty() && !jobs.ended;
        let mut jobs = self.more.wait_while(self.jobs(), idle).unwrap_or_else(PoisonError::into_inner);
        if jobs.ended { None } else { jobs.all.pop_front() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        for threads in [1, 2, 5] {
            let mut pool = Pool::of(threads, || |n: u64| (0..(n * 7919) % 10_000).fold(n, |a, _| std::hint::black_box(a)));
            let mut seen = Vec::new();
            for n in 0..500 {
                pool.push(n);
                while let Some(n) = pool.ready().expect("alive") {
                    seen.push(n);
                }
                assert!(pool.waiting.jobs().all.len() <= threads && pool.under_way.len() < most(threads));
            }
            while let Some(n) = pool.next().expect("alive") {
                seen.push(n);
            }
            assert_eq!(seen, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_feeder_works_while_it_would_wait() {
        let feeder = thread::current().id();
        let mut pool = Pool::of(2, move || {
            move |()| {
                let mine = thread::current().id() == feeder;
                // The other one takes so long that there is something left to do meanwhile.
                thread::sleep(std::time::Duration::from_millis(if mine { 5 } else { 50 }));
                mine
            }
        });
        let mut mine = 0;
        for _ in 0..20 {
            pool.push(());
            while let Some(done) = pool.ready().expect("alive") {
                mine += usize::from(done);
            }
        }
        while let Some(done) = pool.next().expect("alive") {
            mine += usize::from(done);
        }
        assert!(mine >= 5, "{mine}");
    }

    #[test]
    fn a_worker_that_panics_is_noticed() {
        for threads in [1, 2, 5] {
            let mut pool = Pool::of(threads, || |n: u64| assert_ne!(n, 1));
            (0..2).for_each(|n| pool.push(n));
            assert!((0..2).any(|_| pool.next().is_err()), "{threads}");
        }
    }
}
