//! What agents' own hooks have in common: when they call, and what they say then.
//!
//! Each agent's table stands in its own file. Reads what an agent passes, and writes nothing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::NativeId;

/// Where an agent's hooks are configured, and which of them are of use.
#[derive(Debug)]
pub struct Hooks {
    /// For all sessions of a user, in the agent's home.
    pub user: &'static str,
    /// For those of one project, below the top of its work tree.
    pub project: &'static str,
    pub events: &'static [(&'static str, Moment)],
    /// The file in its home whose `notify` names a program to call after each turn, for versions without hooks.
    pub notify: Option<&'static str>,
    /// What the user has to do before the agent calls anything.
    pub consent: Option<&'static str>,
}

impl Hooks {
    pub fn moment(&self, event: &str) -> Option<Moment> {
        let notify = self.notify.is_some() && event == NOTIFY;
        let known = self.events.iter().find(|(name, _)| *name == event).map(|(_, moment)| *moment);
        known.or(notify.then_some(Moment::TurnEnded))
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.events.iter().map(|(name, _)| *name).collect()
    }
}

/// How the call by `notify` is named among the events.
pub const NOTIFY: &str = "notify";

/// What has just happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It begins, or goes on.
    Started,
    TurnEnded,
    /// Its conversation is about to be shortened.
    Compacting,
    /// Its agent is about to quit it.
    Ended,
}

/// Which session a hook is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    #[serde(rename = "session_id", serialize_with = "as_text", deserialize_with = "from_text")]
    pub native: NativeId,
    /// Where the agent works at this moment.
    pub cwd: PathBuf,
}

impl Call {
    /// As both agents pass it on standard input; fields that are not asked for are of no interest.
    pub fn parse(input: &[u8]) -> Option<Call> {
        serde_json::from_slice(input).ok().filter(|call: &Call| call.cwd.is_absolute())
    }

    /// As we pass it on ourselves: of any agent.
    pub fn parse_own(input: &[u8]) -> Option<Call> {
        let told: serde_json::Value = serde_json::from_slice(input).ok()?;
        let (native, cwd) = (NativeId::parse(told["session_id"].as_str()?).ok()?, PathBuf::from(told["cwd"].as_str()?));
        cwd.is_absolute().then_some(Call { native, cwd })
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn as_text<S: serde::Serializer>(native: &NativeId, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(native.as_str())
}

fn from_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<NativeId, D::Error> {
    let text = String::deserialize(from)?;
    NativeId::parse_uuid(&text).map_err(serde::de::Error::custom)
}

/// Words for the agent's context, as both agents take them from a hook.
pub fn context(event: &str, words: &str) -> String {
    serde_json::json!({"hookSpecificOutput": {"hookEventName": event, "additionalContext": words}}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_understood_or_none() {
        let id = "aaaaaaaa-0001-4000-8000-000000000001";
        let good = format!("{{\"session_id\":\"{id}\",\"cwd\":\"/w\",\"prompt\":\"x\",\"transcript_path\":null}}");
        let call = Call::parse(good.as_bytes()).expect("a call");
        assert_eq!((call.native.as_str(), call.cwd.to_str()), (id, Some("/w")));
        assert_eq!(Call::parse(&call.to_json()), Some(call.clone()));
        assert_eq!(Call::parse_own(&call.to_json()), Some(call));
        let other = Call { native: NativeId::parse("ses_01").expect("an id"), cwd: PathBuf::from("/w") };
        assert_eq!((Call::parse(&other.to_json()), Call::parse_own(&other.to_json())), (None, Some(other)));
        for bad in ["", "{}", "[]", "{\"session_id\":\"../x\",\"cwd\":\"/w\"}", &good.replace("/w", "w"), &good[..20]] {
            assert_eq!(Call::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
