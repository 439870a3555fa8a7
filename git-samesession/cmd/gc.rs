//! `gc`: chains shortened as asked, and what nothing needs any more cleared away.

use std::io::{self, Write};
use std::time::Duration;

use samesession::env::Env;
use samesession::flow::shorten::{self, Keep};
use samesession::flow::{self, named, release, remote};
use samesession::id::SessionId;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, bytes, count, harmless};

#[derive(Serialize)]
struct Answer {
    sessions: Vec<Row>,
    /// What is Git's to prune now.
    released: Released,
}

#[derive(Serialize)]
struct Released {
    objects: usize,
    bytes: u64,
}

#[derive(Serialize)]
struct Row {
    sid: String,
    kept: usize,
    dropped: usize,
    /// The remote on which it was shortened, too.
    remote: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.gc/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.sessions {
            let place = row.remote.as_deref().map(|remote| format!(" and on {}", harmless(remote))).unwrap_or_default();
            let dropped = count(row.dropped, "checkpoint");
            writeln!(out, "{}  {dropped} dropped here{place}, {} kept", &row.sid[..8], row.kept)?;
        }
        if self.sessions.is_empty() {
            writeln!(out, "no chain was shortened")?;
        }
        if self.released.objects > 0 {
            let (objects, size) = (count(self.released.objects, "object"), bytes(self.released.bytes));
            writeln!(out, "{objects}, {size}, are no longer needed; 'git gc' prunes them in its time, 'git gc --prune=now' at once")?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Gc) -> Result<(), Failure> {
    let younger_than = options.older_than.as_deref().map(age).transpose()?;
    let keep = Keep { last: options.keep_last, younger_than, thinned: None };
    let answer = super::with_ledger(env, ui, |ledger, findings| {
        let mut sessions = Vec::new();
        if keep.last.is_none() && keep.younger_than.is_none() {
            ledger.sync_all(findings)?;
        } else {
            let sids: Vec<SessionId> = match options.sessions.is_empty() {
                true => ledger.sync_all(findings)?.into_iter().filter(|(_, known)| known.local.is_some()).map(|(sid, _)| sid).collect(),
                false => options
                    .sessions
                    .iter()
                    .map(|what| Ok(named::resolve(ledger, what, findings)?.sid))
                    .collect::<Result<_, flow::Error>>()?,
            };
            let to = if options.local { None } else { remote::choose(&ledger.store.repo, options.remote.as_deref()).ok() };
            for sid in sids {
                match shorten::shorten(ledger, &sid, &keep, to.as_deref(), findings) {
                    Ok(None) => {}
                    Ok(Some(done)) => {
                        sessions.push(Row { sid: sid.to_string(), kept: done.kept, dropped: done.dropped, remote: done.remote });
                    }
                    // Asked for by name it is an error; among all of them it is only left as it is.
                    Err(
                        error @ (flow::Error::Undecided { .. } | flow::Error::Seal(_) | flow::Error::Store(_) | flow::Error::Theirs { .. }),
                    ) if options.sessions.is_empty() => {
                        ui.note(&format!("{} is left as it is: {error}", sid.short()));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let done = release::release(ledger, options.prune, &*ui.progress())?;
        if done.busy {
            ui.note("nothing was left to Git to prune: somebody else is tidying these packs");
        }
        Ok(Answer { sessions, released: Released { objects: done.released, bytes: done.freed } })
    })?;
    ui.report(&answer).map_err(Failure::Output)
}

/// `12h`, `30d`, `2w`.
fn age(text: &str) -> Result<Duration, Failure> {
    let unit = text.chars().last().unwrap_or(' ');
    let hours = match unit {
        'h' => Some(1),
        'd' => Some(24),
        'w' => Some(24 * 7),
        _ => None,
    };
    let number: Option<u64> = text.strip_suffix(unit).and_then(|number| number.parse().ok());
    let seconds = hours.zip(number).and_then(|(hours, number)| number.checked_mul(hours * 3600));
    seconds.map(Duration::from_secs).ok_or(Failure::Usage("an age is a number of hours, days or weeks: 12h, 30d, 2w"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!(age("12h").ok(), Some(Duration::from_secs(43_200)));
        assert_eq!(age("2w").ok(), Some(Duration::from_secs(1_209_600)));
        for text in ["", "5", "d", "-1d", "1y", "99999999999999999w", "1\u{e9}"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
