//! Text that grows with a session, cut into pages at ends of lines that the lines themselves choose.
//!
//! A list of a thousand hashes is a hundred kilobytes that nothing packs; in pages, a step seals only the last one again.
//! What must stay true: a line that did not change ends its page as before, whatever came or went before that page.

use sha2::{Digest, Sha256};

const MIN: usize = 4 << 10;
pub const MAX: usize = 64 << 10;
/// One line in this many ends a page that is long enough.
const ENDS: u8 = 16;

/// With the session's secret seed: page lengths tell nothing of known lines.
pub fn cut<'a>(seed: &[u8; 32], text: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pages = Vec::new();
    let (mut start, mut end) = (0, 0);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        // A line longer than a page, which nothing of ours writes, is cut where the page is full.
        while end + line.len() - start > MAX && end > start {
            pages.push(&text[start..end]);
            start = end;
        }
        end += line.len();
        let chosen = || Sha256::new().chain_update(b"samesession/page/1").chain_update(seed).chain_update(line).finalize()[0] % ENDS == 0;
        if end - start >= MIN && chosen() {
            pages.push(&text[start..end]);
            start = end;
        }
    }
    while start < end {
        let most = (end - start).min(MAX);
        pages.push(&text[start..start + most]);
        start += most;
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: std::ops::Range<u32>) -> Vec<u8> {
        lines.map(|n| format!("{} {n}\n", crate::id::hex(&Sha256::digest(n.to_be_bytes())))).collect::<String>().into_bytes()
    }

    #[test]
    fn pages_make_the_text_and_what_is_appended_changes_the_last_one_only() {
        let before = text(0..2000);
        let pages = cut(&[1; 32], &before);
        assert_eq!(pages.concat(), before);
        assert!(pages.len() > 20 && pages.iter().all(|page| page.len() <= MAX), "{}", pages.len());
        let after = text(0..2003);
        let longer = cut(&[1; 32], &after);
        assert_eq!(longer[..pages.len() - 1], pages[..pages.len() - 1]);
        assert_ne!(cut(&[2; 32], &before).len(), 0);
        assert_ne!(cut(&[2; 32], &before), pages);
    }

    #[test]
    fn what_came_or_went_in_front_moves_only_pages_near_it() {
        let (before, after) = (text(0..2000), text(3..2000));
        let (a, b) = (cut(&[1; 32], &before), cut(&[1; 32], &after));
        let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(same + 4 > a.len(), "{same} of {}", a.len());
    }

    #[test]
    fn no_text_has_no_page_and_an_endless_line_many() {
        assert!(cut(&[1; 32], b"").is_empty());
        let line = vec![b'x'; 200_000];
        assert_eq!(cut(&[1; 32], &line).concat(), line);
        assert!(cut(&[1; 32], &line).iter().all(|page| page.len() <= MAX));
    }
}
