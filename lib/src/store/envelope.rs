//! `manifest.age`: the record and the signatures, as one small sealed file.
//!
//! By hand: `age -d -i epoch-key manifest.age | zstd -d | tar x`. Knows the names in it and no more than that.

use std::io::Read;

use crate::seal::{Epoch, Error as SealError, padding};

const RECORD: &str = "checkpoint.json";
const RECORD_SIGNATURE: &str = "checkpoint.json.sig";
const MANIFEST_SIGNATURE: &str = "manifest.json.sig";
/// Sealed and unpacked: a record lists pages, some sixty bytes for each hundred kilobytes of names and hashes.
pub const MAX: usize = 32 << 20;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub record: Vec<u8>,
    pub record_signature: Vec<u8>,
    /// Of `manifest.json`, by whoever captured the session; a capsule that was imported may have none.
    pub manifest_signature: Option<Vec<u8>>,
}

impl Envelope {
    pub fn seal(&self, to: &Epoch) -> Result<Vec<u8>, SealError> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            tar.append_data(&mut header, name, bytes)
        };
        add(RECORD, &self.record).and_then(|()| add(RECORD_SIGNATURE, &self.record_signature)).map_err(SealError::Write)?;
        if let Some(signature) = &self.manifest_signature {
            add(MANIFEST_SIGNATURE, signature).map_err(SealError::Write)?;
        }
        let mut packed = tar.into_inner().and_then(|tar| zstd::encode_all(&tar[..], 3)).map_err(SealError::Write)?;
        padding::pad(&mut packed);
        to.seal(&packed)
    }

    pub fn open(sealed: &[u8], with: &Epoch) -> Result<Envelope, SealError> {
        let damaged = |error: std::io::Error| SealError::Damaged(format!("manifest.age: {error}"));
        let packed = with.open(sealed)?;
        let mut tar = Vec::new();
        zstd::Decoder::new(padding::unpad(&packed)?).map_err(damaged)?.take(MAX as u64).read_to_end(&mut tar).map_err(damaged)?;
        let mut envelope = Envelope::default();
        let mut archive = tar::Archive::new(&tar[..]);
        for entry in archive.entries().map_err(damaged)?.raw(true) {
            let mut entry = entry.map_err(damaged)?;
            let name = entry.path_bytes().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            match std::str::from_utf8(&name) {
                Ok(RECORD) => envelope.record = bytes,
                Ok(RECORD_SIGNATURE) => envelope.record_signature = bytes,
                Ok(MANIFEST_SIGNATURE) => envelope.manifest_signature = Some(bytes),
                _ => {}
            }
        }
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_as_it_was_sealed_and_for_its_epoch_only() {
        let epoch = Epoch::begin();
        let mut envelope = Envelope { record: b"{}".to_vec(), record_signature: b"sig".to_vec(), manifest_signature: None };
        for _ in 0..2 {
            let sealed = envelope.seal(&epoch).expect("sealed");
            assert_eq!(Envelope::open(&sealed, &epoch).expect("opened"), envelope);
            assert!(Envelope::open(&sealed, &Epoch::begin()).is_err());
            envelope.manifest_signature = Some(b"another".to_vec());
        }
    }
}
