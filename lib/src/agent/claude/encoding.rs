//! How Claude Code names the directory of a project: a working directory squeezed into one file name.
//!
//! Not injective (`a.b` and `a-b` meet), so it is never decoded: the working directory is read from the records.

use std::path::Path;

/// Longer names are cut and get a hash, in every version from 2.1.197 on (older ones did not cut).
const MAX_UNITS: usize = 200;

/// `cwd` must be the real path, as the agent itself resolves symbolic links first.
pub fn encode(cwd: &Path) -> String {
    // A name that is not UTF-8 reaches the agent with replacement characters, and so it does here.
    let units: Vec<u16> = cwd.to_string_lossy().encode_utf16().collect();
    let mut name: String = units.iter().map(|&unit| plain(unit)).collect();
    if units.len() > MAX_UNITS {
        name.truncate(MAX_UNITS);
        name.push('-');
        name.push_str(&base36(hash(&units).unsigned_abs()));
    }
    name
}

fn plain(unit: u16) -> char {
    match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii_alphanumeric() => byte as char,
        _ => '-',
    }
}

fn hash(units: &[u16]) -> i32 {
    units.iter().fold(0i32, |hash, &unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize] as char);
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_real_program() {
        let deep = format!("/srv/{}", "long.name/".repeat(25));
        for (cwd, name) in [
            ("/home/dev/src/demo.app_one", "-home-dev-src-demo-app-one"),
            ("/srv/.hidden", "-srv--hidden"),
            ("/srv/ünï-日本", "-srv--n----"),
            ("/srv/😀", "-srv---"),
            ("/", "-"),
        ] {
            assert_eq!(encode(Path::new(cwd)), name, "{cwd}");
        }
        let exactly = format!("/{}", "a".repeat(199));
        assert_eq!(encode(Path::new(&exactly)).len(), 200);
        // Hashes computed with the formula of the lab notes, which agreed with the real program on paths of 261 to 415 units.
        assert!(encode(Path::new(&deep)).ends_with("-d6kafd"));
        assert!(encode(Path::new(&format!("/srv/{}", "ünï-日本/".repeat(40)))).ends_with("-owhagp"));
        let long = encode(Path::new(&deep));
        assert!(long.starts_with("-srv-long-name-long-name-") && long.len() > 201, "{long}");
        assert_eq!(&long[..200], deep.replace(['/', '.'], "-").get(..200).expect("long enough"));
    }
}
