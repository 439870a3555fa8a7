//! Lengths that tell little: zeros behind what is packed, so that it is as long as many other texts would be.
//!
//! Padmé's lengths (PURBs, 2019): of a length only its highest bits count, twelve in a hundred more at most, three or less for
//! what is longer than a few hundred bytes on average. The zeros stand in one of zstd's skippable frames, which every `zstd -d`
//! passes over. What must stay true: nothing can be hidden there, nor behind it; what has no padding opens as well.

use zstd::zstd_safe::{find_frame_compressed_size, get_error_name};

use super::Error;

/// How a skippable frame begins; its length follows.
const SKIPPED: [u8; 4] = 0x184d_2a50u32.to_le_bytes();
const FRAME: [u8; 4] = 0xfd2f_b528u32.to_le_bytes();
const HEAD: usize = 8;

/// The next length that is one of Padmé's.
pub fn length(len: usize) -> usize {
    let bits = usize::BITS - len.max(1).leading_zeros() - 1;
    // So many bits say how many there are; as many of the highest count.
    let counted = u32::BITS - bits.leading_zeros();
    let rest = (1usize << bits.saturating_sub(counted)) - 1;
    len.saturating_add(rest) & !rest
}

/// Lengthens one frame.
pub fn pad(packed: &mut Vec<u8>) {
    let whole = length(packed.len() + HEAD);
    let zeros = whole - packed.len() - HEAD;
    packed.extend_from_slice(&SKIPPED);
    packed.extend_from_slice(&(zeros as u32).to_le_bytes());
    packed.resize(whole, 0);
}

/// The frame alone; what stands behind it is padding or nothing.
pub fn unpad(packed: &[u8]) -> Result<&[u8], Error> {
    let damaged = |why: &str| Error::Damaged(why.to_owned());
    if !packed.starts_with(&FRAME) {
        return Err(damaged("a part does not unpack: it is no zstd frame"));
    }
    let end = find_frame_compressed_size(packed).map_err(|code| damaged(&format!("a part does not unpack: {}", get_error_name(code))))?;
    let (frame, behind) = packed.split_at_checked(end).ok_or_else(|| damaged("a part is cut short"))?;
    if behind.is_empty() {
        return Ok(frame);
    }
    let (head, zeros) = behind.split_at_checked(HEAD).ok_or_else(|| damaged("something stands behind a part's end"))?;
    let said = [&SKIPPED[..], &(zeros.len() as u32).to_le_bytes()].concat();
    // As much as any length asks for, and no more.
    if head != said || packed.len() > length(end + HEAD) || zeros.iter().any(|&byte| byte != 0) {
        return Err(damaged("something stands behind a part's end"));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_paper() {
        assert_eq!([0, 1, 2, 7, 8, 9, 10, 25, 100, 1000, 9000].map(length), [0, 1, 2, 7, 8, 10, 10, 26, 104, 1024, 9216]);
        for len in (1..5_000_000).step_by(997) {
            let padded = length(len);
            assert_eq!(length(padded), padded);
            assert!(padded >= len && (padded - len) * 100 <= len * 12, "{len} to {padded}");
            assert!(len < 1 << 16 || (padded - len) * 32 <= len, "{len} to {padded}");
        }
    }

    #[test]
    fn what_is_padded_is_found_again_and_so_is_what_is_not() {
        for len in [0, 1, 20, 300, 5000, 200_000] {
            let plain: Vec<u8> = (0..len).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let frame = zstd::encode_all(&plain[..], 3).expect("packed");
            let mut padded = frame.clone();
            pad(&mut padded);
            assert_eq!(padded.len(), length(padded.len()), "{len}");
            assert_eq!(unpad(&padded).expect("ours"), frame);
            assert_eq!(unpad(&frame).expect("older"), frame);
            assert_eq!(zstd::decode_all(&padded[..]).expect("by any zstd"), plain);
        }
    }

    #[test]
    fn nothing_hides_behind_a_part() {
        let frame = zstd::encode_all(&b"a part"[..], 3).expect("packed");
        let mut padded = frame.clone();
        pad(&mut padded);
        let zeros = padded.len() - frame.len() - HEAD;
        assert!(zeros > 0);
        let behind = |bytes: &[u8]| [&frame[..], bytes].concat();
        let skipped = |magic: u32, len: usize, bytes: &[u8]| [&magic.to_le_bytes()[..], &(len as u32).to_le_bytes(), bytes].concat();
        let nulls = vec![0; 1 << 20];
        let hostile = [
            ("a byte behind it", [&padded[..], b"x"].concat()),
            ("a zero behind it", [&padded[..], b"\0"].concat()),
            ("another frame", behind(&frame)),
            ("padding twice", behind(&skipped(0x184d_2a50, 0, b"").repeat(2))),
            ("padding and a frame", [&padded[..], &frame].concat()),
            ("padding before it", [&skipped(0x184d_2a50, 0, b"")[..], &frame].concat()),
            ("padding alone", skipped(0x184d_2a50, 8, &[0; 8])),
            ("bytes in it", { [&padded[..padded.len() - 1], b"x"].concat() }),
            ("another of the sixteen", behind(&skipped(0x184d_2a51, zeros, &nulls[..zeros]))),
            ("more than there is", behind(&skipped(0x184d_2a50, zeros + 1, &nulls[..zeros]))),
            ("less than there is", behind(&skipped(0x184d_2a50, zeros - 1, &nulls[..zeros]))),
            ("a megabyte", behind(&skipped(0x184d_2a50, nulls.len(), &nulls))),
            ("half a head", behind(&SKIPPED)),
            ("half a part", frame[..frame.len() - 1].to_vec()),
            ("nothing", Vec::new()),
        ];
        for (what, bytes) in hostile {
            assert!(unpad(&bytes).is_err(), "{what}");
        }
    }
}
