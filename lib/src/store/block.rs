//! Memory that is filled again and again, and not cleared in between.
//!
//! What must stay true: only bytes that were put in come out, whatever an earlier use left behind them.

use std::io::{self, Read};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What is read at once, and then hashed and looked at while it is near the processor.
pub const STEP: usize = 256 << 10;

#[derive(Default)]
pub struct Block {
    bytes: Vec<u8>,
    len: usize,
}

impl Block {
    /// Reads until it holds so many bytes or there are no more; whether there may be more.
    pub fn fill(&mut self, from: &mut impl Read, len: usize) -> io::Result<bool> {
        while self.len < len {
            let end = len.min(self.len + STEP);
            self.reach(end);
            match from.read(&mut self.bytes[self.len..end])? {
                0 => return Ok(false),
                n => self.len += n,
            }
        }
        Ok(true)
    }

    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.reach(end);
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn reach(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
    }
}

/// The blocks of one who fills them for others.
pub struct Blocks {
    home: Sender<Block>,
    spare: Receiver<Block>,
}

impl Default for Blocks {
    fn default() -> Blocks {
        let (home, spare) = channel();
        Blocks { home, spare }
    }
}

impl Blocks {
    /// An empty one.
    pub fn take(&self) -> Block {
        let mut block = self.spare.try_recv().unwrap_or_default();
        block.truncate(0);
        block
    }

    /// To be read by anybody; it comes back when nobody does any more.
    pub fn lend(&self, block: Block) -> Arc<Lent> {
        Arc::new(Lent { block, home: self.home.clone() })
    }
}

pub struct Lent {
    block: Block,
    home: Sender<Block>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = self.home.send(std::mem::take(&mut self.block));
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_earlier_use_comes_out() {
        let mut block = Block::default();
        assert!(block.fill(&mut io::repeat(1), 3 * STEP).expect("read"));
        assert_eq!(block.len(), 3 * STEP);
        block.truncate(2);
        assert!(!block.fill(&mut &[2u8, 3][..], 10).expect("read"));
        block.push(&[4]);
        assert_eq!(*block, [1, 1, 2, 3, 4]);
        block.truncate(9);
        assert_eq!(block.len(), 5);
    }
}
