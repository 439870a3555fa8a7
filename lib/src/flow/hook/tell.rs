//! What an agent should know about its session as it starts: that there is more of it elsewhere, or that somebody else has it.
//!
//! Only what is known here is looked at: a remote may take longer to answer than anybody waits for a prompt. Nothing is
//! written, and nobody is asked for a passphrase.

use super::policy;
use crate::agent::hooks::Call;
use crate::agent::{Agent, Role};
use crate::capsule::Manifest;
use crate::device::Device;
use crate::env::Env;
use crate::flow::ledger::Ledger;
use crate::flow::{Error, lease, placed, role_name};
use crate::git::Repository;
use crate::hook::Reach;
use crate::id::SessionId;
use crate::lease::Standing;
use crate::seal::Identities;
use crate::store::refs;
use crate::time;

pub fn words(env: &Env, agent: &dyn Agent, call: &Call, reach: Reach) -> Result<Option<String>, Error> {
    let repo = Repository::open(env, &call.cwd)?;
    let Some(device) = Device::load(env)?.filter(|_| policy::concerns(env, &repo, reach)) else { return Ok(None) };
    let sid = SessionId::derive(agent.name(), &call.native);
    let mut identities = Identities::default();
    identities.add_device(device.identity());
    let ledger = Ledger::of(env, repo, Some(&device), &identities)?;
    let here = placed::find(agent, &agent.home(env)?, &call.native)?.first().map_or(0, |session| session.size);
    let said = [lease(&ledger, &sid)?, newer(&ledger, &sid, here)?];
    let said: Vec<String> = said.into_iter().flatten().collect();
    Ok((!said.is_empty()).then(|| said.join("\n")))
}

/// That another device drives the session.
fn lease(ledger: &Ledger<'_>, sid: &SessionId) -> Result<Option<String>, Error> {
    let known = refs::of(&ledger.store, sid)?;
    let tips = ledger.heads(sid, &known)?.iter().map(|head| ledger.opened(head)).collect::<Result<Vec<_>, _>>()?;
    let status = lease::status(ledger, sid, &known, &tips)?;
    let Some(held) = status.lease.filter(|_| status.standing == Standing::Held) else { return Ok(None) };
    let device: String = held.device.chars().filter(|c| !c.is_control()).take(64).collect();
    let since = time::parse(&held.since).map(time::format).unwrap_or_default();
    Ok(Some(format!(
        "samesession: '{device}' has been working with this session since {since}. What is said here now goes another way than what is said there. To take it over the user can quit and run: git samesession resume {} --takeover REASON",
        sid.short()
    )))
}

/// That a checkpoint holds more of the session than stands here.
fn newer(ledger: &Ledger<'_>, sid: &SessionId, here: u64) -> Result<Option<String>, Error> {
    let known = refs::of(&ledger.store, sid)?;
    let mut most: Option<(u64, String)> = None;
    for head in ledger.heads(sid, &known)? {
        let mut opened = ledger.opened(&head)?;
        if opened.is_deleted() {
            continue;
        }
        let tree = opened.tree(&ledger.store)?;
        let bytes = opened.manifest_bytes(&ledger.store, &tree, ledger.identities)?;
        let manifest = Manifest::of(&bytes, sid.as_str(), &opened.record.summary.agent)?;
        let transcript = manifest.files.iter().find(|file| file.role == role_name(Role::Transcript));
        let size = transcript.map_or(0, |file| file.size);
        if size > here && most.as_ref().is_none_or(|(most, _)| size > *most) {
            // By its own words only a time is a time.
            let made = time::parse(&opened.record.made).map(time::format).unwrap_or_default();
            let device: String = opened.record.device.chars().filter(|c| !c.is_control()).take(64).collect();
            let words = format!(
                "samesession: a newer checkpoint of this session, made on '{device}' at {made}, holds more than is on this machine. What is said here now goes another way than what was said there. To go on from there the user can quit and run: git samesession restore {}",
                sid.short()
            );
            most = Some((size, words));
        }
    }
    Ok(most.map(|(_, words)| words))
}
