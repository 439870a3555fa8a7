//! Names in this repository and names in a store: `refs/samesession/<rest>` is `refs/heads/samesession/<project>/<rest>`.
//!
//! Branches, since there are hosts that hide or refuse other refs. What must stay true: the mapping is one to one, and
//! nothing but a plain name is mapped either way, whoever says it.

use crate::flow::namespace;
use crate::store::names::PUBLIC;

const THERE: &str = "refs/heads/samesession/";
const LONGEST: usize = 200;

#[derive(Debug, Clone)]
pub struct Map {
    namespace: Option<String>,
}

impl Map {
    pub fn new(namespace: Option<String>) -> Map {
        Map { namespace }
    }

    /// One project is meant, and each name has its one place.
    pub fn is_whole(&self) -> bool {
        self.namespace.is_some()
    }

    /// What `git ls-remote` shall show.
    pub fn pattern(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{THERE}{namespace}/*"),
            None => format!("{THERE}*"),
        }
    }

    pub fn inner(&self, outer: &str) -> Option<String> {
        let rest = outer.strip_prefix(PUBLIC).filter(|rest| is_plain(rest))?;
        Some(format!("{THERE}{}/{rest}", self.namespace.as_ref()?))
    }

    pub fn outer(&self, inner: &str) -> Option<String> {
        let (namespace, rest) = inner.strip_prefix(THERE)?.split_once('/')?;
        let ours = match &self.namespace {
            Some(own) => own == namespace,
            None => namespace::is_name(namespace),
        };
        (ours && is_plain(rest)).then(|| format!("{PUBLIC}{rest}"))
    }
}

fn is_plain(rest: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let part = |part: &str| !part.is_empty() && !part.starts_with('-') && part.bytes().all(good);
    rest.len() <= LONGEST && rest.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_come_back() {
        let map = Map::new(Some("0123abcd".to_owned()));
        let everywhere = Map::new(None);
        for rest in ["sessions/abcdefghijklmnopqrstuvwxyz", "roster", "requests/0-1"] {
            let (outer, inner) = (format!("refs/samesession/{rest}"), format!("refs/heads/samesession/0123abcd/{rest}"));
            assert_eq!((map.inner(&outer), map.outer(&inner)), (Some(inner.clone()), Some(outer.clone())));
            assert_eq!((everywhere.inner(&outer), everywhere.outer(&inner)), (None, Some(outer)));
        }
    }

    #[test]
    fn nothing_else_is_mapped() {
        let map = Map::new(Some("0123abcd".to_owned()));
        for outer in ["refs/heads/main", "HEAD", "refs/samesession/", "refs/samesession//x", "refs/samesession/../x", "refs/samesession/-x"]
        {
            assert_eq!(map.inner(outer), None, "{outer}");
        }
        for inner in [
            "refs/heads/main",
            "refs/heads/samesession/other/roster",
            "refs/heads/samesession/0123abcd",
            "refs/heads/samesession/0123abcd/",
            "refs/heads/samesession/0123abcd/a\nb",
            "refs/heads/samesession/0123abcd/a b",
            "refs/heads/samesession/0123abcd/A",
            "refs/heads/samesession/0123abcd/a.lock",
            "refs/x/refs/heads/samesession/0123abcd/roster",
            &format!("refs/heads/samesession/0123abcd/{}", "a".repeat(300)),
        ] {
            assert_eq!(map.outer(inner), None, "{inner}");
        }
    }
}
