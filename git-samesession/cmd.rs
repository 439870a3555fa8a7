//! One file per verb: arguments in, one library call, a view out.

pub mod auto;
mod checkpoint;
mod clone;
mod delete;
mod demo;
mod device;
mod doctor;
mod export;
mod fetch;
mod fork;
mod gc;
mod hook;
mod import;
mod init;
mod inspect;
mod lease;
mod list;
mod log;
mod made;
mod r#move;
mod push;
mod recipient;
mod restore;
mod resume;
mod secrets;
mod sessions;
mod show;
mod status;
mod undo;
mod workspace;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use is_terminal::IsTerminal;
use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::ledger::{Finding, Ledger};
use samesession::flow::named::Named;
use samesession::flow::output::Output;
use samesession::flow::{self, Selector};
use samesession::seal::Callbacks;

use crate::cli::{self, Command};
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, harmless};

pub fn run(env: &Env, ui: &Ui, command: &Command) -> Result<ExitCode, Failure> {
    if env.var("SAMESESSION_UNATTENDED").is_some() {
        terminal::leave_alone();
    }
    let done = match command {
        // Its exit code is that of the agent.
        Command::Resume(options) => return resume::run(env, ui, options),
        Command::Clone(options) => return clone::run(env, ui, options),
        Command::Device(options) => device::run(env, ui, options),
        Command::Status(options) => status::run(env, ui, options),
        Command::Init(options) => init::run(env, ui, options),
        Command::Sessions(options) => sessions::run(env, ui, options),
        Command::List(options) => list::run(env, ui, options),
        Command::Log(options) => log::run(env, ui, options),
        Command::Show(options) => show::run(env, ui, options),
        Command::Checkpoint(options) => checkpoint::run(env, ui, options),
        Command::Inspect(options) => inspect::run(env, ui, options),
        Command::Restore(options) => restore::run(env, ui, options),
        Command::Undo(options) => undo::run(env, ui, options),
        Command::Move(options) => r#move::run(env, ui, &options.leaving, &options.to),
        Command::Handoff(options) => r#move::run(env, ui, &options.leaving, &options.to),
        Command::Fork(options) => fork::run(env, ui, options),
        Command::Export(options) => export::run(env, ui, options),
        Command::Import(options) => import::run(env, ui, options),
        Command::Fetch(options) => fetch::run(env, ui, options),
        Command::Push(options) => push::run(env, ui, options),
        Command::Lease(options) => lease::run(env, ui, options),
        Command::Delete(options) => delete::run(env, ui, options),
        Command::Gc(options) => gc::run(env, ui, options),
        Command::Recipient(options) => recipient::run(env, ui, options),
        Command::Secrets(options) => secrets::run(env, ui, options),
        Command::Hook(options) => hook::run(env, ui, options),
        Command::Auto(options) => auto::run(env, ui, options),
        Command::Doctor => doctor::run(env, ui),
        Command::Demo => demo::run(env, ui),
    };
    done.map(|()| ExitCode::SUCCESS)
}

pub use secrets::line as secret_line;

/// This machine's keys; made on first use, and said so.
fn device_or_new(env: &Env, ui: &Ui) -> Result<Device, flow::Error> {
    let (device, made) = Device::ensure(env)?;
    let device = device.asking(Terminal { quiet: ui.quiet });
    if made {
        ui.note(&format!("made keys for this device, '{}' ({})", device.name, device.signing().fingerprint()));
    }
    Ok(device)
}

/// This machine's keys, if it has any. Whoever is at the terminal is asked for their passphrase, if they have one.
fn own_device(env: &Env, ui: &Ui) -> Result<Option<Device>, Failure> {
    Ok(Device::load(env)?.map(|device| device.asking(Terminal { quiet: ui.quiet })))
}

/// What opens sessions here: this machine's keys, if it has any, and those in these files.
struct Keys<'a> {
    device: Option<Device>,
    files: &'a [PathBuf],
}

/// The repository around, with this machine's keys, if it has any. What is worth saying of its refs is said afterwards.
fn with_ledger<T>(env: &Env, ui: &Ui, work: impl FnOnce(&mut Ledger<'_>, &mut Vec<Finding>) -> Result<T, Failure>) -> Result<T, Failure> {
    let keys = Keys { device: own_device(env, ui)?, files: &[] };
    with_ledger_as(env, ui, keys, &Terminal { quiet: ui.quiet }, work)
}

/// The same with these keys, and somebody else to be asked for what they may need.
fn with_ledger_as<T, C: Callbacks>(
    env: &Env,
    ui: &Ui,
    Keys { device, files }: Keys<'_>,
    callbacks: &C,
    work: impl FnOnce(&mut Ledger<'_>, &mut Vec<Finding>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut identities = flow::keys::identities(env, device.as_ref(), &[], None, callbacks)?;
    flow::keys::add(&mut identities, files, callbacks)?;
    let mut ledger = Ledger::open(env, device.as_ref(), &identities)?;
    let mut findings = Vec::new();
    let done = work(&mut ledger, &mut findings);
    tell(ui, &findings);
    done
}

/// The session or checkpoint of the repository that is meant; asked for like `chosen`. What was found out about others'
/// refs on the way is of no interest.
fn named(ui: &Ui, ledger: &Ledger<'_>, what: &str, findings: &mut Vec<Finding>) -> Result<Named, flow::Error> {
    let found = match flow::named::resolve(ledger, what, findings) {
        Err(flow::Error::Ambiguous { what, candidates }) if !ui.json => match terminal::choose(&candidates) {
            Some(n) => {
                findings.clear();
                flow::named::resolve(ledger, &candidates[n].native, findings)
            }
            None => Err(flow::Error::Ambiguous { what, candidates }),
        },
        found => found,
    };
    if let Ok(found) = &found {
        findings.retain(|finding| match finding {
            Finding::Ignored { name, .. } | Finding::Unknown { name, .. } => name.ends_with(found.sid.as_str()),
            _ => true,
        });
    }
    found
}

fn tell(ui: &Ui, findings: &[Finding]) {
    for finding in findings {
        ui.note(&match finding {
            Finding::Ignored { name, why } => format!("warning: '{name}' is passed by: {why}"),
            Finding::Unknown { name, checkpoint } => {
                let signer = &checkpoint.signer;
                format!("warning: '{name}' is passed by: it is signed by a key that this device does not know, {signer}")
            }
            Finding::Rewound { remote, sid, seen, now } => {
                let (sid, seen, now) = (sid.short(), seen.to_hex_with_len(10), now.to_hex_with_len(10));
                format!("warning: '{remote}' was rewound: it had {seen} of session {sid} and shows {now}, which does not descend from it")
            }
            Finding::Unasked { remote, why } => {
                let (remote, why) = (harmless(remote), harmless(why));
                format!("note: '{remote}' cannot be asked what it has, and only what is known here can be seen: {why}")
            }
            Finding::BroughtBack { sid, tip } => {
                format!("session {} had lost checkpoints here and has them back, up to {}", sid.short(), tip.to_hex_with_len(10))
            }
            Finding::SealedAnew { sid, tip, why } => {
                let (sid, tip, why) = (sid.short(), tip.to_hex_with_len(10), harmless(why));
                format!("warning: checkpoint {tip} of session {sid} is damaged ({why}); what it does not hold was sealed anew")
            }
        });
    }
}

/// What could not be sent before is sent by whoever speaks to the store now; what still cannot be goes on waiting.
fn send_pending(ui: &Ui, ledger: &Ledger<'_>, remote: &str, findings: &mut Vec<Finding>) {
    match flow::pending::send(ledger, remote, &Terminal { quiet: ui.quiet }, findings) {
        Ok(pushed) => {
            for pushed in pushed.iter().filter(|pushed| pushed.result.is_ok()) {
                ui.note(&format!("session {}, which waited here, is sent to '{}'", pushed.sid.short(), harmless(remote)));
            }
        }
        Err(error) => ui.note(&format!("what waits here is not sent: {error}")),
    }
}

/// This machine's keys for opening. Where others are named, damaged ones of its own stand in nobody's way.
fn device_for(env: &Env, ui: &Ui, keys: &cli::Keys) -> Result<Option<Device>, Failure> {
    match Device::load(env) {
        Err(error) if !keys.identities.is_empty() => {
            ui.note(&format!("warning: {error}"));
            Ok(None)
        }
        loaded => Ok(loaded?.map(|device| device.asking(Terminal { quiet: ui.quiet }))),
    }
}

/// The session that the user means. If several could be meant, a person at a terminal is asked; a script gets the list.
fn chosen(env: &Env, ui: &Ui, session: Option<&str>, agent: Option<&str>) -> Result<Chosen, Failure> {
    let found = match flow::which(env, &Selector::parse(session), agent) {
        Err(flow::Error::Ambiguous { what, candidates }) if !ui.json => match terminal::choose(&candidates) {
            Some(n) => Ok(candidates[n].clone()),
            None => Err(flow::Error::Ambiguous { what, candidates }),
        },
        found => found,
    }?;
    Ok(Chosen { selector: Selector::Named(found.native), agent: Some(found.agent.to_owned()) })
}

struct Chosen {
    selector: Selector,
    agent: Option<String>,
}

/// Where a capsule goes; `-` is standard output, which has no place for anything beside it.
fn output(ui: &Ui, path: &Path, replace: bool) -> Result<Output, Failure> {
    if path != Path::new("-") {
        return Ok(Output::File { path: path.to_owned(), replace });
    }
    if io::stdout().is_terminal() {
        return Err(Failure::OutputIsTerminal);
    }
    if ui.json { Err(Failure::TwoAnswers) } else { Ok(Output::Stream(Box::new(io::stdout()))) }
}

/// `-` is standard input, as for other programs that read a file.
fn or_stdin(file: &Path) -> PathBuf {
    if file == Path::new("-") { PathBuf::from("/dev/stdin") } else { file.to_owned() }
}
