//! Parts of a session packed one by one, as small as if they were packed together.
//!
//! A part alone knows nothing of the others, and transcripts repeat themselves over long distances; so a part is packed
//! against a dictionary, which is simply how its file begins. By hand: `zstd -d -D dictionary`.

use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict, compress_bound, get_error_name};

use super::Error;

/// More of the beginning than this gains little; see ARCHITECTURE.md.
pub const DICTIONARY: usize = 512 << 10;

const LEVEL: i32 = 3;

/// Prepared once for any number of threads.
pub struct Dictionary {
    encode: CDict<'static>,
    decode: DDict<'static>,
}

impl Dictionary {
    pub fn of(sample: &[u8]) -> Dictionary {
        Dictionary { encode: CDict::create(sample, LEVEL), decode: DDict::create(sample) }
    }
}

/// One thread's.
#[derive(Default)]
pub struct Packer(CCtx<'static>);

impl Packer {
    pub fn pack(&mut self, plain: &[u8], with: Option<&Dictionary>) -> Result<Vec<u8>, Error> {
        let mut packed = Vec::with_capacity(compress_bound(plain.len()));
        let done = match with {
            Some(dictionary) => self.0.compress_using_cdict(&mut packed, plain, &dictionary.encode),
            None => self.0.compress(&mut packed, plain, LEVEL),
        };
        done.map_err(|code| Error::Write(std::io::Error::other(get_error_name(code))))?;
        Ok(packed)
    }
}

/// One thread's.
#[derive(Default)]
pub struct Unpacker(DCtx<'static>);

impl Unpacker {
    /// `most` bounds what may come out.
    pub fn unpack(&mut self, packed: &[u8], most: usize, with: Option<&Dictionary>) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::with_capacity(most);
        let done = match with {
            Some(dictionary) => self.0.decompress_using_ddict(&mut plain, packed, &dictionary.decode),
            None => self.0.decompress(&mut plain, packed),
        };
        done.map_err(|code| Error::Damaged(format!("a part does not unpack: {}", get_error_name(code))))?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_repeats_the_beginning_packs_to_almost_nothing() {
        let sample: Vec<u8> = (0..100_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_be_bytes()).collect();
        let part = &sample[100_000..120_000];
        let dictionary = Dictionary::of(&sample);
        let mut packer = Packer::default();
        let small = packer.pack(part, Some(&dictionary)).expect("packed");
        let large = packer.pack(part, None).expect("packed");
        assert!(small.len() < 200 && large.len() > 15_000, "{} and {}", small.len(), large.len());
        let mut unpacker = Unpacker::default();
        assert_eq!(unpacker.unpack(&small, part.len(), Some(&dictionary)).expect("unpacked"), part);
        assert_eq!(unpacker.unpack(&large, part.len(), None).expect("unpacked"), part);
        assert!(unpacker.unpack(&small, part.len() - 1, Some(&dictionary)).is_err(), "more than was promised");
        assert!(unpacker.unpack(&small, part.len(), None).is_err(), "another dictionary");
    }
}
