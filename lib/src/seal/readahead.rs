//! A reader that works ahead of its user, on a thread of its own, a bounded number of blocks.
//!
//! Opening a capsule is decrypting and unpacking on one side, hashing and writing on the other: two cores do it in the
//! time of the slower half.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

const BLOCK: usize = 256 << 10;
const AHEAD: usize = 8;

pub struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    taken: usize,
}

impl ReadAhead {
    pub fn spawn<'scope, R: Read + Send + 'scope>(scope: &'scope Scope<'scope, '_>, mut from: R) -> ReadAhead {
        let (send, blocks) = sync_channel(AHEAD);
        scope.spawn(move || {
            loop {
                let mut block = Vec::with_capacity(BLOCK);
                let result = from.by_ref().take(BLOCK as u64).read_to_end(&mut block);
                let last = !matches!(result, Ok(n) if n > 0);
                // What was read before an error still comes first, as it would without the thread.
                if !block.is_empty() && send.send(Ok(block)).is_err() {
                    return;
                }
                if let Err(error) = result {
                    let _ = send.send(Err(error));
                }
                if last {
                    return;
                }
            }
        });
        ReadAhead { blocks, block: Vec::new(), taken: 0 }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() {
            match self.blocks.recv() {
                Ok(block) => (self.block, self.taken) = (block?, 0),
                Err(_) => return Ok(0),
            }
        }
        let n = into.len().min(self.block.len() - self.taken);
        into[..n].copy_from_slice(&self.block[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}
