//! Whose signature is asked for, as it is configured: `samesession.requireSignature`.
//!
//! What must stay true: what a bad signature is on is never taken, and a setting that is not understood takes nothing.

use super::Error;
use crate::env::Env;
use crate::git::{self, Around, Repository};

const SETTING: (&str, &str) = ("samesession.requiresignature", "samesession.requireSignature");

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Required {
    /// Somebody known, or accepted by a person; what nobody signed may be taken for one time.
    #[default]
    Unset,
    /// Somebody known, or accepted by a person: no exception.
    Known,
    /// This device, or a member of the roster that it has joined: nobody else is asked about.
    Roster,
}

impl Required {
    pub fn of(repo: &Repository) -> Result<Required, Error> {
        Required::parse(repo.config.get(SETTING.0))
    }

    /// For a capsule that does not come out of a repository: of the one around, else the user's own.
    pub fn around(env: &Env) -> Result<Required, Error> {
        match Around::of(env) {
            Ok(around) => Required::parse(around.config().get(SETTING.0)),
            // Where there is no Git, nothing is configured.
            Err(git::Error::Start(_)) => Ok(Required::Unset),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(value: Option<&str>) -> Result<Required, Error> {
        match value {
            None | Some("") => Ok(Required::Unset),
            Some("known") => Ok(Required::Known),
            Some("roster") => Ok(Required::Roster),
            Some(other) => {
                let value = other.chars().take(40).collect();
                Err(Error::Setting { name: SETTING.1, value, why: "it can be 'known' or 'roster'" })
            }
        }
    }

    /// What nobody signed, for this one time.
    pub fn allows_unsigned(self) -> Result<(), Error> {
        if self == Required::Unset { Ok(()) } else { Err(Error::SignatureRequired) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_an_error_and_only_the_lack_of_a_setting_allows_exceptions() {
        for (value, required, exceptions) in
            [(None, Required::Unset, true), (Some("known"), Required::Known, false), (Some("roster"), Required::Roster, false)]
        {
            let parsed = Required::parse(value).expect("a value");
            assert_eq!((parsed, parsed.allows_unsigned().is_ok()), (required, exceptions));
        }
        for nonsense in ["Roster", "false", "never"] {
            assert!(matches!(Required::parse(Some(nonsense)), Err(Error::Setting { .. })), "{nonsense}");
        }
    }
}
