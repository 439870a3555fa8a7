//! Parts of a session packed one by one, as small as if they were packed together.
//!
//! A part alone knows nothing of the others, and transcripts repeat themselves over long distances; so each is packed
//! against a dictionary, which is simply how the session begins. By hand: `zstd -d -D dictionary`.

use super::Error;

/// More of the session's beginning than this gains little; see ARCHITECTURE.md.
pub const DICTIONARY: usize = 512 << 10;

const LEVEL: i32 = 3;

/// Prepared once for any number of threads. Without a sample it packs each part by itself.
pub struct Dictionary {
    encode: zstd::dict::EncoderDictionary<'static>,
    decode: zstd::dict::DecoderDictionary<'static>,
}

impl Dictionary {
    pub fn of(sample: &[u8]) -> Dictionary {
        let sample = &sample[..sample.len().min(DICTIONARY)];
        Dictionary { encode: zstd::dict::EncoderDictionary::copy(sample, LEVEL), decode: zstd::dict::DecoderDictionary::copy(sample) }
    }

    pub fn packer(&self) -> Result<Packer<'_>, Error> {
        zstd::bulk::Compressor::with_prepared_dictionary(&self.encode).map(Packer).map_err(Error::Write)
    }

    pub fn unpacker(&self) -> Result<Unpacker<'_>, Error> {
        zstd::bulk::Decompressor::with_prepared_dictionary(&self.decode).map(Unpacker).map_err(Error::Read)
    }
}

/// One thread's.
pub struct Packer<'a>(zstd::bulk::Compressor<'a>);

impl Packer<'_> {
    pub fn pack(&mut self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.compress(plain).map_err(Error::Write)
    }
}

pub struct Unpacker<'a>(zstd::bulk::Decompressor<'a>);

impl Unpacker<'_> {
    /// `most` bounds what may come out.
    pub fn unpack(&mut self, packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
        self.0.decompress(packed, most).map_err(|error| Error::Damaged(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_repeats_the_beginning_packs_to_almost_nothing() {
        let sample: Vec<u8> = (0..200_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_be_bytes()).collect();
        let part = &sample[100_000..120_000];
        let (with, without) = (Dictionary::of(&sample), Dictionary::of(b""));
        let small = with.packer().and_then(|mut packer| packer.pack(part)).expect("packed");
        let large = without.packer().and_then(|mut packer| packer.pack(part)).expect("packed");
        assert!(small.len() < 200 && large.len() > 15_000, "{} and {}", small.len(), large.len());
        let mut unpacker = with.unpacker().expect("a dictionary");
        assert_eq!(unpacker.unpack(&small, part.len()).expect("unpacked"), part);
        assert!(unpacker.unpack(&small, part.len() - 1).is_err(), "more than was promised");
        assert!(without.unpacker().expect("none").unpack(&small, part.len()).is_err(), "another dictionary");
    }
}
