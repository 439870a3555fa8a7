//! The names of our refs; the only place that spells them.

use crate::id::SessionId;

/// Everything of ours that travels.
pub const PUBLIC: &str = "refs/samesession/";
const SESSIONS: &str = "refs/samesession/sessions/";
/// What was last seen on a remote: a cache, never evidence.
pub const TRACKING: &str = "refs/samesession-remote/";
/// The newest verified tips that this device has seen: moves forward only, stands in no refspec.
pub const SEEN: &str = "refs/samesession-seen/";
/// The store under which our own tips are pinned. A remote may be called so, but no session is fetched from one whose name
/// begins with '@'.
pub const HERE: &str = "@here";
/// The store under which it is noted which of several ways somebody has chosen here.
pub const CHOSEN: &str = "@chosen";
/// The store under which it is kept what was captured for a `git fetch` from this machine's agents.
pub const AGENTS: &str = "@agents";
/// Where `git fetch` looks for what it asked the agents for, while it runs.
pub const IMPORT: &str = "refs/samesession-import/";

pub fn session(sid: &SessionId) -> String {
    format!("{SESSIONS}{sid}")
}

pub fn tracking(remote: &str, sid: &SessionId) -> String {
    format!("{TRACKING}{remote}/sessions/{sid}")
}

pub fn seen(store: &str, sid: &SessionId) -> String {
    format!("{SEEN}{store}/sessions/{sid}")
}

/// Which of two ways of an open session somebody has chosen here.
pub fn chosen(sid: &SessionId) -> String {
    seen(CHOSEN, sid)
}

/// Whose devices belong to the store.
pub const ROSTER: &str = "refs/samesession/roster";
/// Devices that ask to.
pub const REQUESTS: &str = "refs/samesession/requests/";

pub fn roster_seen() -> String {
    format!("{SEEN}{HERE}/roster")
}

/// What a remote had of these.
pub fn roster_of(remote: &str) -> String {
    format!("{TRACKING}{remote}/roster")
}

/// Whether it is where one of these stands.
pub fn is_roster_of_a_remote(name: &str) -> bool {
    let remote = name.strip_prefix(TRACKING).and_then(|rest| rest.strip_suffix("/roster"));
    remote.is_some_and(|remote| {
        !remote.starts_with('@') && !["/sessions/", "/requests/"].iter().any(|place| format!("{remote}/").contains(place))
    })
}

pub fn requests_of(remote: &str) -> String {
    format!("{TRACKING}{remote}/requests/")
}

/// Where one `git fetch` finds a session.
pub fn import(token: &str, sid: &SessionId) -> String {
    format!("{IMPORT}{token}/{sid}")
}

/// The names of the refs behind `import`, as a refspec of a remote helper.
pub fn import_refspec(token: &str) -> String {
    format!("{SESSIONS}*:{IMPORT}{token}/*")
}

/// What the refspec of a remote maps.
pub fn refspec(remote: &str) -> String {
    format!("+{PUBLIC}*:{TRACKING}{remote}/*")
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Local(SessionId),
    Tracking { remote: String, sid: SessionId },
    Seen { store: String, sid: SessionId },
}

/// What a ref of ours is about; `None` for everything else, names that only look alike included.
pub fn parse(name: &str) -> Option<Named> {
    if let Some(sid) = name.strip_prefix(SESSIONS) {
        return Some(Named::Local(SessionId::parse(sid).ok()?));
    }
    let below = |rest: &str| {
        // The first of them: what a remote puts below a session's name is none of ours, and could stand in that one's way.
        let (store, sid) = rest.split_once("/sessions/")?;
        Some((store.to_owned(), SessionId::parse(sid).ok()?))
    };
    if let Some((remote, sid)) = name.strip_prefix(TRACKING).and_then(below) {
        if remote.starts_with('@') {
            return None;
        }
        return Some(Named::Tracking { remote, sid });
    }
    name.strip_prefix(SEEN).and_then(below).map(|(store, sid)| Named::Seen { store, sid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are_about() {
        let sid = SessionId::parse("abcdefghijklmnopqrstuvwxyz").expect("a sid");
        assert_eq!(parse(&session(&sid)), Some(Named::Local(sid.clone())));
        assert_eq!(parse(&tracking("team/main", &sid)), Some(Named::Tracking { remote: "team/main".into(), sid: sid.clone() }));
        assert_eq!(parse(&seen(HERE, &sid)), Some(Named::Seen { store: HERE.into(), sid: sid.clone() }));
        for other in [
            "refs/heads/main",
            "refs/samesession/sessions/short",
            &tracking("@here", &sid),
            "refs/samesession/roster",
            "refs/samesession-remote/origin/roster",
            &format!("{}/sessions/{sid}", tracking("origin", &sid)),
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
        for (name, is) in [
            (roster_of("origin"), true),
            (roster_of("team/main"), true),
            (roster_of("@here"), false),
            (ROSTER.to_owned(), false),
            (roster_seen(), false),
            (format!("{}/roster", tracking("origin", &sid)), false),
            (format!("{}roster", requests_of("origin")), false),
        ] {
            assert_eq!(is_roster_of_a_remote(&name), is, "{name}");
        }
    }
}
