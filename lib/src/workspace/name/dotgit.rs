//! Whether a file system may take a name for `.git`, or for a file that Git reads before anybody asked it to.
//!
//! The rules of Git's `path.c` (`is_ntfs_dotgit`) and `utf8.c` (`is_hfs_dotgit`), for all systems at once: what was made
//! on one is restored on another.

/// In any form in which a file system knows it.
pub fn is(name: &[u8]) -> bool {
    is_hfs(name, ".git") || ntfs_parts(name).any(|part| is_ntfs(part, ".git", "git~1"))
}

/// `.gitmodules`, likewise: Git reads it where it stands, and must not be led elsewhere.
pub fn is_modules(name: &[u8]) -> bool {
    let short = |part: &[u8]| {
        let part = stripped(part).to_ascii_lowercase();
        // What Windows calls it where several begin alike; further ones are named by a checksum, `gi7eba~1`.
        let gitmod = part.len() == 8 && part.starts_with(b"gitmod~") && part[7].is_ascii_digit();
        gitmod || (part.len() == 8 && part.starts_with(b"gi7eba~") && part[7].is_ascii_digit())
    };
    is_hfs(name, ".gitmodules") || ntfs_parts(name).any(|part| short(part) || is_ntfs(part, ".gitmodules", ".gitmodules"))
}

/// A backslash parts names there.
fn ntfs_parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|&b| b == b'\\')
}

fn is_ntfs(name: &[u8], long: &str, short: &str) -> bool {
    let name = stripped(name);
    name.eq_ignore_ascii_case(long.as_bytes()) || name.eq_ignore_ascii_case(short.as_bytes())
}

/// Without a named stream, and without what Windows takes off the end.
fn stripped(name: &[u8]) -> &[u8] {
    let name = name.split(|&b| b == b':').next().unwrap_or(name);
    let end = name.iter().rposition(|b| !matches!(b, b'.' | b' ')).map_or(0, |last| last + 1);
    &name[..end]
}

fn is_hfs(name: &[u8], wanted: &str) -> bool {
    // What follows bytes that are no text is not compared by HFS+ either.
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let seen: String = text.chars().filter(|c| !is_ignored(*c)).flat_map(char::to_lowercase).collect();
    seen == wanted
}

/// Code points that HFS+ passes over when it compares names.
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}
