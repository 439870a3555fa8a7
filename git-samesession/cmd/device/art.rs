//! A fingerprint as a picture, for eyes that compare: the walk of `ssh-keygen -lv`, and so the same picture.

const WIDTH: usize = 17;
const HEIGHT: usize = 9;
const MARKS: &[u8] = b" .o+=*BOX@%&#/^SE";

/// `SHA256:…`, without padding, as OpenSSH prints it; nothing for what is none.
pub fn of(fingerprint: &str) -> Vec<String> {
    let Some(bytes) = fingerprint.strip_prefix("SHA256:").and_then(unbase64) else { return Vec::new() };
    let (mut x, mut y) = (WIDTH / 2, HEIGHT / 2);
    let mut field = [[0usize; WIDTH]; HEIGHT];
    for byte in bytes {
        for pair in 0..4 {
            let step = byte >> (2 * pair);
            x = if step & 1 == 1 { (x + 1).min(WIDTH - 1) } else { x.saturating_sub(1) };
            y = if step & 2 == 2 { (y + 1).min(HEIGHT - 1) } else { y.saturating_sub(1) };
            field[y][x] = (field[y][x] + 1).min(MARKS.len() - 3);
        }
    }
    field[HEIGHT / 2][WIDTH / 2] = MARKS.len() - 2;
    field[y][x] = MARKS.len() - 1;
    let edge = format!("+{}+", "-".repeat(WIDTH));
    let row = |row: &[usize; WIDTH]| format!("|{}|", row.iter().map(|mark| char::from(MARKS[*mark])).collect::<String>());
    std::iter::once(edge.clone()).chain(field.iter().map(row)).chain([edge]).collect()
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.bytes() {
        bits = bits << 6 | u32::from(digit(byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_picture_that_openssh_draws() {
        // `ssh-keygen -lv` of a key with this fingerprint.
        let drawn = of("SHA256:q5/jhh7HFvMIvVPcNs7FSYYnAnCY4CDTsICNcPHv7eU");
        assert_eq!(drawn.len(), HEIGHT + 2);
        assert!(drawn.iter().all(|line| line.chars().count() == WIDTH + 2));
        assert_eq!(drawn.iter().flat_map(|line| line.chars()).filter(|c| matches!(c, 'S' | 'E')).count(), 2);
        assert!(of("MD5:00").is_empty());
    }
}
