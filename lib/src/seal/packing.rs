//! Parts of a session packed one by one, as small as if they were packed together.
//!
//! A short part alone knows nothing of the others, and transcripts repeat themselves over long distances; so it is packed
//! against a dictionary, which is simply how its file begins. By hand: `zstd -d -D dictionary`. A long part gains little
//! by that, and packing it takes a quarter longer with one. What is packed is padded, so that lengths tell little.

use std::sync::OnceLock;

use zstd::zstd_safe::{CCtx, CDict, CParameter, DCtx, DDict, compress_bound, get_error_name};

use super::{Error, padding};

/// More of the beginning than this gains little; see ARCHITECTURE.md.
pub const DICTIONARY: usize = 128 << 10;
/// Parts from this length on are packed by themselves.
pub const LONG: usize = 1 << 20;

/// For what is short, and sent again and again.
const SMALL: i32 = 3;
/// For what is long: a tenth less time for a twentieth more bytes. See ARCHITECTURE.md.
pub(super) const FAST: i32 = 1;
/// Tables half as large as the third level's own stay near the processor: a fifth less time for at most 2.5 % more bytes. The
/// first level's are as large as that with these.
pub(super) const TABLES: [CParameter; 2] = [CParameter::HashLog(16), CParameter::ChainLog(15)];

/// Prepared once for any number of threads, for whichever direction is wanted.
pub struct Dictionary {
    sample: Vec<u8>,
    encode: OnceLock<CDict<'static>>,
    decode: OnceLock<DDict<'static>>,
}

impl Dictionary {
    pub fn of(sample: Vec<u8>) -> Dictionary {
        Dictionary { sample, encode: OnceLock::new(), decode: OnceLock::new() }
    }

    fn encode(&self) -> &CDict<'static> {
        self.encode.get_or_init(|| CDict::create(&self.sample, SMALL))
    }

    fn decode(&self) -> &DDict<'static> {
        self.decode.get_or_init(|| DDict::create(&self.sample))
    }
}

/// One thread's.
pub struct Packer {
    context: CCtx<'static>,
    packed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Packer {
        let mut context = CCtx::create();
        for parameter in TABLES {
            // Every zstd takes these; one that did not would only pack in another way.
            let _ = context.set_parameter(parameter);
        }
        Packer { context, packed: Vec::new() }
    }
}

impl Packer {
    pub fn pack(&mut self, plain: &[u8], with: Option<&Dictionary>) -> Result<&[u8], Error> {
        self.packed.clear();
        self.packed.reserve(compress_bound(plain.len()));
        let done = match with {
            Some(dictionary) => self.context.compress_using_cdict(&mut self.packed, plain, dictionary.encode()),
            None => {
                let level = if plain.len() < LONG { SMALL } else { FAST };
                let _ = self.context.set_parameter(CParameter::CompressionLevel(level));
                self.context.compress2(&mut self.packed, plain)
            }
        };
        done.map_err(|code| Error::Write(std::io::Error::other(get_error_name(code))))?;
        padding::pad(&mut self.packed);
        Ok(&self.packed)
    }
}

/// One thread's.
#[derive(Default)]
pub struct Unpacker(DCtx<'static>);

impl Unpacker {
    /// `most` bounds what may come out.
    pub fn unpack(&mut self, packed: &[u8], most: usize, with: Option<&Dictionary>) -> Result<Vec<u8>, Error> {
        let packed = padding::unpad(packed)?;
        let mut plain = Vec::with_capacity(most);
        let done = match with {
            Some(dictionary) => self.0.decompress_using_ddict(&mut plain, packed, dictionary.decode()),
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
        let dictionary = Dictionary::of(sample.clone());
        let mut packer = Packer::default();
        let small = packer.pack(part, Some(&dictionary)).expect("packed").to_vec();
        let large = packer.pack(part, None).expect("packed").to_vec();
        assert!(small.len() < 200 && large.len() > 15_000, "{} and {}", small.len(), large.len());
        let mut unpacker = Unpacker::default();
        assert_eq!(unpacker.unpack(&small, part.len(), Some(&dictionary)).expect("unpacked"), part);
        assert_eq!(unpacker.unpack(&large, part.len(), None).expect("unpacked"), part);
        assert!(unpacker.unpack(&small, part.len() - 1, Some(&dictionary)).is_err(), "more than was promised");
        assert!(unpacker.unpack(&small, part.len(), None).is_err(), "another dictionary");
    }
}
