//! What stands behind `session::`: this machine's agents, or a store at some Git address.
//!
//! Pure; knows the agents' names and the remotes it is given. What must stay true: an address never becomes an option of
//! Git's, nor another helper's business.

use crate::agent;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Agents(Scope),
    /// As the inner Git takes it: a URL, a path, or the name of a remote.
    Store(String),
}

/// Which of this machine's sessions are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    pub agent: Option<&'static str>,
    /// One session: `current`, or the beginning of an id. Without it all of this repository's.
    pub session: Option<String>,
    /// Those of other directories, too.
    pub all: bool,
    /// The work trees stay where they are.
    pub session_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("'{0}' is no agent, remote or address")]
    Unknown(String),
    #[error("'{0}' begins like an option")]
    Option(String),
    #[error("'{0}' would need another remote helper, and helpers are not nested")]
    Helper(String),
    #[error("'{0}' is no option of 'session::'; there are 'all' and 'session-only'")]
    Query(String),
    #[error("'{0}' holds a character that cannot be part of an address")]
    Control(String),
}

/// `text` is what stands behind `session::`.
pub fn parse(text: &str, remotes: &[&str]) -> Result<Address, Error> {
    let shown = || text.chars().take(120).flat_map(char::escape_debug).collect::<String>();
    if text.chars().any(char::is_control) {
        return Err(Error::Control(shown()));
    }
    let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
    let (first, rest) = place.split_once('/').map_or((place, None), |(first, rest)| (first, Some(rest)));
    let mut scope = Scope::default();
    let known = match (first, rest) {
        ("", None) => true,
        ("current", None) => {
            scope.session = Some("current".to_owned());
            true
        }
        _ => match agent::by_name(first) {
            Some(agent) => {
                scope.agent = Some(agent.name());
                scope.session = rest.filter(|rest| !rest.is_empty()).map(str::to_owned);
                true
            }
            None => false,
        },
    };
    if known {
        for word in query.into_iter().flat_map(|query| query.split('&')) {
            match word {
                "all" => scope.all = true,
                "session-only" => scope.session_only = true,
                other => return Err(Error::Query(other.chars().take(40).collect())),
            }
        }
        return Ok(Address::Agents(scope));
    }
    check(text)?;
    let looks_like_one = text.contains([':', '/']) || text == "." || text == "..";
    if looks_like_one || remotes.contains(&text) { Ok(Address::Store(text.to_owned())) } else { Err(Error::Unknown(shown())) }
}

/// Whether an address may be given to the inner Git.
pub fn check(address: &str) -> Result<(), Error> {
    let shown: String = address.chars().take(120).collect();
    if address.starts_with('-') {
        return Err(Error::Option(shown));
    }
    // `helper::address`, as Git reads it; `session://` is Git's other way to name a helper.
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let helper = address.split_once("::").is_some_and(|(helper, _)| word(helper));
    let scheme = address.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let foreign = scheme.as_deref().is_some_and(|scheme| !SCHEMES.contains(&scheme));
    if helper || foreign { Err(Error::Helper(shown)) } else { Ok(()) }
}

/// What Git reaches without a helper of somebody else's.
const SCHEMES: &[&str] = &["file", "git", "ssh", "git+ssh", "ssh+git", "http", "https", "ftp", "ftps"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_from_stores() {
        let scope = |agent, session: Option<&str>| Scope { agent, session: session.map(str::to_owned), ..Scope::default() };
        for (text, is) in [
            ("", scope(None, None)),
            ("?all", Scope { all: true, ..Scope::default() }),
            ("claude", scope(Some("claude"), None)),
            ("claude/", scope(Some("claude"), None)),
            ("codex?all&session-only", Scope { agent: Some("codex"), all: true, session_only: true, ..Scope::default() }),
            ("current", scope(None, Some("current"))),
            ("codex/current", scope(Some("codex"), Some("current"))),
            ("claude/aaaa", scope(Some("claude"), Some("aaaa"))),
        ] {
            assert_eq!(parse(text, &["claude", "origin"]), Ok(Address::Agents(is)), "{text}");
        }
        for text in [
            "origin",
            "/a/b.git",
            "./a",
            "../a",
            ".",
            "a/b",
            "me@host:sessions.git",
            "https://host/me/sessions.git?x=y",
            "file:///x",
            "[::1]:x",
            "ssh://[::1]:22/x",
            "host:a::b",
        ] {
            assert_eq!(parse(text, &["origin"]), Ok(Address::Store(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_would_start_something_else_is_refused() {
        for text in ["-x", "--upload-pack=touch x", "-oProxyCommand=x:y", "-a/b"] {
            assert!(matches!(parse(text, &[text]), Err(Error::Option(_))), "{text}");
        }
        for text in ["ext::sh -c x", "session::x", "session::/x", "session://x", "fd::3", "gcrypt::https://x", "rad://z", "SESSION::x"] {
            assert!(matches!(parse(text, &[text]), Err(Error::Helper(_))), "{text}");
        }
        for text in ["nobody", "claud", "gemini"] {
            assert!(matches!(parse(text, &["origin"]), Err(Error::Unknown(_))), "{text}");
        }
        assert!(matches!(parse("claude?what", &[]), Err(Error::Query(_))));
        assert!(matches!(parse("a\nb:/", &[]), Err(Error::Control(_))));
    }
}
