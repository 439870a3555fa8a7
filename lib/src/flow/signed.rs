//! Whose capsule it is: the signature of its manifest, and whether its signer is believed here.
//!
//! What must stay true: nobody is believed who was neither named, nor known, nor accepted by a person.

use super::Error;
use super::required::Required;
use crate::capsule;
use crate::device::Device;
use crate::env::Env;
use crate::roster::Roster;
use crate::seal::{self, Signer};
use crate::signers::KnownSigners;

/// Decisions that only a person can make.
pub trait Consent {
    /// Whether to believe a signer that is not known here and calls itself so; `true` is remembered.
    fn accept_signer(&mut self, signer: &Signer, name: &str) -> bool;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    ThisDevice {
        fingerprint: String,
    },
    Known {
        name: String,
        fingerprint: String,
    },
    /// Accepted just now.
    Accepted {
        name: String,
        fingerprint: String,
    },
    /// Not known here; a dry run shows its plan all the same.
    Unknown {
        name: String,
        fingerprint: String,
    },
    /// Not signed, and taken all the same.
    Nobody,
}

/// What somebody decided before anything was asked.
pub struct Belief<'a> {
    /// Fingerprints that are believed without asking.
    pub trust: &'a [String],
    pub allow_unsigned: bool,
    pub roster: Option<&'a Roster>,
    pub required: Required,
    /// What it came in is signed by nobody, whoever signed what is in it.
    pub nobodys: bool,
    /// It comes in a chain that others vouch for, or it would not have come so far.
    pub in_a_chain: bool,
    /// Nobody is asked; whoever is unknown is only shown.
    pub dry_run: bool,
}

/// Who signed it, and the signer to be remembered if that was not known before.
pub fn by(
    env: &Env,
    device: Option<&Device>,
    belief: &Belief<'_>,
    opened: &capsule::Opened,
    consent: &mut dyn Consent,
) -> Result<(SignedBy, Option<Signer>), Error> {
    // A signature that does not hold is worse than none: somebody has changed something.
    let signer = opened.signature.as_ref().map(|signature| seal::verify(seal::NAMESPACE, &opened.manifest_bytes, signature)).transpose()?;
    let Some(signer) = signer.filter(|_| !belief.nobodys) else {
        if !belief.allow_unsigned {
            return Err(Error::Unsigned);
        }
        belief.required.allows_unsigned()?;
        return Ok((SignedBy::Nobody, None));
    };
    let fingerprint = signer.fingerprint.clone();
    if device.is_some_and(|device| device.is_own(&fingerprint)) {
        return Ok((SignedBy::ThisDevice { fingerprint }, None));
    }
    let member = belief.roster.and_then(|roster| roster.member(&fingerprint));
    if let Some(member) = member.filter(|member| member.is_active() || belief.in_a_chain) {
        return Ok((SignedBy::Known { name: member.name.clone(), fingerprint }, None));
    }
    // Whoever was revoked is unknown, whatever was said of them before.
    let only_members = belief.required == Required::Roster;
    if let Some(name) = KnownSigners::load(env)?.name_of(&signer).filter(|_| member.is_none() && !only_members) {
        return Ok((SignedBy::Known { name: name.to_owned(), fingerprint }, None));
    }
    let name = opened.manifest.origin.device.clone();
    if only_members {
        return Err(Error::NoMembersKey { signer, name });
    }
    if belief.trust.contains(&fingerprint) || (!belief.dry_run && consent.accept_signer(&signer, &name)) {
        return Ok((SignedBy::Accepted { name, fingerprint }, Some(signer)));
    }
    if belief.dry_run {
        return Ok((SignedBy::Unknown { name, fingerprint }, None));
    }
    Err(Error::UnknownSigner { signer, name })
}
