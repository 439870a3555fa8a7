//! How many sessions wait for this device: others have gone on with them, and it has not followed yet.
//!
//! From what is known here, without asking a remote.

use crate::device::Device;
use crate::env::Env;
use crate::flow::ledger::Ledger;
use crate::flow::settings::ON_DEMAND;
use crate::flow::{Error, list, placed};
use crate::git::Repository;
use crate::id::NativeId;
use crate::seal::Identities;
use crate::{agent, time};

pub fn count(env: &Env, repo: Repository) -> Result<usize, Error> {
    let Some(device) = Device::load(env)? else { return Ok(0) };
    // Looking would be asking.
    if repo.config.flag(ON_DEMAND) == Some(true) {
        return Ok(0);
    }
    let mut identities = Identities::default();
    identities.add_device(device.identity());
    let ledger = Ledger::of(env, repo, Some(&device), &identities)?;
    let listed = list::list(&ledger, &list::Options::default())?;
    let mut waiting = 0;
    for session in listed.sessions.iter().filter(|session| !session.deleted) {
        let Ok(inside) = &session.newest.inside else { continue };
        if inside.device == device.name || is_here(env, inside)? {
            continue;
        }
        waiting += 1;
    }
    Ok(waiting)
}

/// Whether the session stands on this machine, written to since that checkpoint was made.
fn is_here(env: &Env, inside: &crate::flow::glance::Inside) -> Result<bool, Error> {
    let (agent, native) = (agent::by_name(&inside.summary.agent), NativeId::parse(&inside.summary.native_id));
    let (Some(agent), Ok(native)) = (agent, native) else { return Ok(false) };
    let here = placed::find(agent, &agent.home(env)?, &native)?;
    let made = time::parse(&inside.made);
    Ok(here.first().is_some_and(|session| made.is_none_or(|made| session.modified >= made)))
}
