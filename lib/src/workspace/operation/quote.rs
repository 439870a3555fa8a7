//! The ways in which Git quotes words in its state files.

/// As in a shell: `'it'\''s'`.
pub fn single(word: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = word.split(|&byte| byte == b'\'').collect();
    [b"'", &parts.join(&b"'\\''"[..])[..], b"'"].concat()
}

/// As Git writes strategy options and values of its configuration.
pub fn double(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in word {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    out
}

/// Words apart: blanks between them, quotes of both kinds, a backslash before what would mean something.
pub fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (None | Some(b'"'), b'\\') => word.get_or_insert_default().push(bytes.next()?),
            (None, _) if byte.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_comes_apart_again() {
        let all: Vec<Vec<u8>> = [&b"a b"[..], b"", b"it's", b"!", b"\"\\", b"line\nbreak"].map(<[u8]>::to_vec).to_vec();
        for quote in [single, double] {
            let line = all.iter().map(|word| quote(word)).collect::<Vec<_>>().join(&b' ');
            assert_eq!(words(&line).as_ref(), Some(&all));
        }
        assert_eq!(words(b"'open"), None);
    }
}
