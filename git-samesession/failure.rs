//! Every failure as the user meets it: the message, the way out, the exit code. All three are decided here.
//!
//! | exit | meaning |
//! | ---- | ------- |
//! | 0    | done |
//! | 1    | refused or a negative answer; nothing was changed |
//! | 3    | failed half way and put everything back |
//! | 4    | failed and could not put everything back: needs you |
//! | 128  | failed; nothing was changed |
//! | 129  | the command line makes no sense |
//! | 130  | interrupted (by the signal itself, where there was one) |

use std::error::Error as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use samesession::flow::pick;
use samesession::lease::Standing;
use samesession::policy::secrets::Finding;
use samesession::workspace::{self, restore};
use samesession::{agent, capsule, device, env, flow, git, path, seal, store};
use serde::Serialize;

use crate::terminal;
use crate::ui::{Ui, count, harmless};

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Flow(flow::Error),
    #[error("there is no terminal to ask for a passphrase")]
    NoTerminal,
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    #[error("the two passphrases differ")]
    PassphrasesDiffer,
    #[error("cannot read a passphrase from '{}'", .0.display())]
    PassphraseFile(PathBuf, #[source] io::Error),
    #[error("this machine has no keys yet")]
    NoDevice,
    #[error("a capsule is not for a terminal's eyes")]
    OutputIsTerminal,
    #[error("a capsule on standard output leaves no place for JSON there")]
    TwoAnswers,
    #[error("{0}")]
    Usage(&'static str),
    #[error("not confirmed; nothing was deleted")]
    NotConfirmed(String),
    #[error("{0} could not be pushed")]
    NotPushed(String),
    /// Why it failed is part of the answer already; as JSON that is the only one.
    #[error(transparent)]
    Answered(Box<Failure>),
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
    #[error("it is done, but the answer cannot be written")]
    Output(#[source] io::Error),
    #[error("the session stands here, but its agent cannot be started")]
    Launch(#[source] io::Error),
    /// A hook that stops what it stands in, as strict mode wants it.
    #[error("{0}")]
    Strict(String),
    #[error("cannot set up the demonstration: {0}")]
    Demo(String),
    #[error("{} {} found", count(*.0, "trouble"), if *.0 == 1 { "was" } else { "were" })]
    Troubles(usize),
}

impl<E: Into<flow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Flow(error.into())
    }
}

#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    hints: &'a [String],
    /// The sessions that could be meant.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    candidates: Vec<Row<'a>>,
    /// The secrets that would leave.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    secrets: &'a [Finding],
    exit: u8,
}

#[derive(Serialize)]
struct Row<'a> {
    agent: &'static str,
    native_id: &'a str,
    title: Option<&'a str>,
}

impl<'a> From<&'a flow::Candidate> for Row<'a> {
    fn from(one: &'a flow::Candidate) -> Row<'a> {
        Row { agent: one.agent, native_id: &one.native, title: one.title.as_deref() }
    }
}

impl Failure {
    pub fn tell(&self, ui: &Ui) -> ExitCode {
        let (kind, exit) = self.kind();
        if exit == 130 {
            return interrupted();
        }
        if let Failure::Answered(failure) = self {
            return if ui.json { ExitCode::from(exit) } else { failure.tell(ui) };
        }
        // Whoever closed the pipe wants nothing more, and no words about it.
        let writing = matches!(
            self,
            Failure::Output(_) | Failure::Flow(flow::Error::Seal(seal::Error::Write(_)) | flow::Error::Capsule(capsule::Error::Write(_)))
        );
        if writing && self.io() == Some(io::ErrorKind::BrokenPipe) {
            let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGPIPE);
        }
        let mut causes = Vec::new();
        let mut cause = self.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        // A transparent error's source is the cause of what it wraps, whose words are the message already.
        let message = self.to_string();
        causes.retain(|cause| *cause != message);
        let mut hints = self.hints();
        hints.extend(self.disk_hint());
        if ui.json {
            let candidates = self.candidates().iter().map(Row::from).collect();
            let json =
                Json { schema: "samesession.error/1", kind, message, causes, hints: &hints, candidates, secrets: self.secrets(), exit };
            let _ = writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&json).unwrap_or_default());
        } else {
            let mut err = io::stderr().lock();
            let _ = writeln!(err, "error: {}", harmless(&message));
            for cause in causes {
                let _ = writeln!(err, "  because: {}", harmless(&cause));
            }
            for one in self.candidates().iter().take(20) {
                let _ = writeln!(err, "  {} {}  {}", one.agent, one.native, crate::ui::clipped(one.title.as_deref().unwrap_or(""), 60));
            }
            for finding in self.secrets().iter().take(20) {
                let _ = writeln!(err, "  {}", harmless(&crate::cmd::secret_line(finding)));
            }
            for way in self.ways() {
                let _ = writeln!(err, "  {}", terminal::way_line(way));
            }
            for hint in hints {
                let _ = writeln!(err, "hint: {}", harmless(&hint));
            }
        }
        ExitCode::from(exit)
    }

    fn candidates(&self) -> &[flow::Candidate] {
        match self {
            Failure::Flow(flow::Error::Ambiguous { candidates, .. }) => candidates,
            _ => &[],
        }
    }

    fn secrets(&self) -> &[Finding] {
        match self {
            Failure::Flow(flow::Error::Secrets(findings)) => findings,
            _ => &[],
        }
    }

    fn ways(&self) -> &[flow::Way] {
        match self {
            Failure::Flow(flow::Error::SeveralWays { ways, .. }) => ways,
            _ => &[],
        }
    }

    /// A name for scripts, and the exit code.
    fn kind(&self) -> (&'static str, u8) {
        use flow::Error as E;
        match self {
            // That something is half done is to be said, whatever the reason.
            Failure::Flow(E::NeedsYou { .. }) => ("needs-you", 4),
            _ if samesession::progress::interrupted() => ("interrupted", 130),
            Failure::Flow(error) => match error {
                E::Interrupted | E::Capsule(capsule::Error::Interrupted) => ("interrupted", 130),
                E::RolledBack(_) => ("rolled-back", 3),
                E::Diverged { .. } | E::LeanedOn { .. } => ("diverged", 1),
                E::Live { .. } => ("live", 1),
                E::Busy(_) => ("busy", 1),
                E::UnknownSigner { .. } | E::UnknownMaker { .. } | E::NoMembersKey { .. } => ("unknown-signer", 1),
                E::SeveralWays { .. } => ("several-ways", 1),
                E::NoSuchReader(_) => ("no-recipient", 1),
                E::LastReader { .. } => ("last-recipient", 1),
                E::LocksOut { .. } => ("locked-out", 1),
                E::Deleted { .. } => ("deleted", 1),
                E::NotThere { .. } => ("no-session", 1),
                E::Undecided { .. } => ("several-ways", 1),
                E::Secrets(_) => ("secrets", 1),
                E::TooLarge { .. } => ("too-large", 1),
                E::NoRoom { .. } => ("no-room", 128),
                E::NotAFinding(_) => ("usage", 129),
                E::Redacted => ("redacted", 1),
                E::NoDevice => ("no-device", 1),
                E::TooManyPassphrases { .. } => ("exists", 1),
                E::Leased { .. } => ("leased", 1),
                E::NotOnRoster | E::NobodyAsks(_) | E::NoSuchMember(_) | E::NoRecovery | E::NoRoster => ("no-member", 1),
                E::RecoveryThere => ("exists", 1),
                E::NoGroupsName(_) => ("usage", 129),
                E::NoSuchGroup(_) => ("no-recipient", 1),
                E::WasRevoked { .. } => ("revoked", 1),
                E::NameTaken { .. } => ("exists", 1),
                E::NotCompared { .. } => ("not-confirmed", 1),
                E::Unsure { .. } => ("unsure", 1),
                E::CannotGoOn { .. } => ("cannot-go-on", 1),
                E::NothingToResume => ("no-session", 1),
                E::SealedToOthers { .. } => ("no-recipient", 1),
                E::NoNameForClone(_) => ("usage", 129),
                E::Setting { .. } => ("usage", 129),
                E::Refused { .. } => ("not-pushed", 1),
                E::NoRemote => ("no-remote", 1),
                E::Theirs { .. } => ("not-a-checkpoint", 128),
                E::Git(git::Error::NoRepository) => ("no-repository", 128),
                E::NoSuchRemote { .. } | E::WhichRemote(_) => ("no-remote", 1),
                E::Store(store::Error::Moved { .. }) => ("moved", 1),
                E::Store(store::Error::NotACheckpoint { .. }) => ("not-a-checkpoint", 128),
                E::Store(store::Error::Damaged { .. } | store::Error::Missing(_) | store::Error::Unreadable(_)) => ("bad-capsule", 128),
                E::NoRepositoryHere => ("no-repository", 1),
                E::NoWorkTree => ("no-work-tree", 1),
                E::WorkspaceThere(_) | E::Work(restore::Error::Exists(_)) => ("exists", 1),
                E::Work(restore::Error::OtherRepository { .. } | restore::Error::OtherFormat { .. }) => ("other-repository", 1),
                E::Work(restore::Error::NoWorkTree) => ("no-work-tree", 1),
                E::Work(restore::Error::Dirty(_) | restore::Error::InProgress(_) | restore::Error::WouldOverwrite(_)) => ("dirty", 1),
                E::Work(restore::Error::Missing { .. }) => ("missing-commit", 1),
                E::Work(_) | E::Workspace(workspace::Error::Damaged(_)) => ("bad-capsule", 128),
                E::Workspace(workspace::Error::Operation(_)) => ("in-progress", 1),
                E::NothingToUndo(_) => ("nothing-to-undo", 1),
                E::UsedSince(_) => ("used", 1),
                E::BadSettings { .. } => ("bad-settings", 1),
                E::SharedHooks(_) | E::NoGlobalHooks | E::NoAgentHooks(_) | E::NoHook(_) => ("no-hook", 1),
                E::Unsigned | E::SignatureRequired | E::Store(store::Error::Unsigned(_)) | E::Seal(seal::Error::BadSignature(_)) => {
                    ("unsigned", 1)
                }
                E::OutputExists(_) => ("exists", 1),
                E::Device(device::Error::Exists(_)) => ("exists", 1),
                E::Device(device::Error::HasPassphrase | device::Error::NoPassphrase) => ("passphrase", 1),
                E::Ambiguous { .. } => ("ambiguous", 1),
                E::NoSuchSession(_) | E::NoCurrentSession(_) => ("no-session", 1),
                E::NoSuchCommit(_) => ("no-commit", 1),
                E::NobodysCommit(_) | E::NotCommitted { .. } => ("no-sessions-commit", 1),
                E::Seal(seal::Error::NoMatch { .. }) => ("no-key", 1),
                E::Seal(seal::Error::SignElsewhere(_) | seal::Error::SignBeside(_)) => ("no-key", 1),
                E::Seal(
                    seal::Error::WrongPassphrase | seal::Error::NeedsPassphrase | seal::Error::Locked | seal::Error::WrongDevicePassphrase,
                )
                | E::Device(device::Error::Seal(seal::Error::WrongDevicePassphrase)) => ("passphrase", 1),
                E::Capsule(capsule::Error::Newer { .. } | capsule::Error::Requires(_)) => ("newer", 128),
                E::Capsule(capsule::Error::NotACapsule(_)) | E::Seal(seal::Error::NotSealed) => ("not-a-capsule", 128),
                E::Capsule(_) | E::Foreign(_) | E::Agent(agent::Error::Foreign { .. }) => ("bad-capsule", 128),
                E::Seal(seal::Error::Damaged(_)) => ("bad-capsule", 128),
                _ => ("failed", 128),
            },
            Failure::NoTerminal | Failure::EmptyPassphrase | Failure::PassphrasesDiffer => ("passphrase", 1),
            Failure::Troubles(_) => ("trouble", 1),
            Failure::NoDevice => ("no-device", 1),
            Failure::NotConfirmed(_) => ("not-confirmed", 1),
            Failure::NotPushed(_) | Failure::Strict(_) => ("not-pushed", 1),
            Failure::Answered(failure) => failure.kind(),
            Failure::Usage(_) => ("usage", 129),
            _ => ("failed", 128),
        }
    }

    /// The system's own reason, wherever it arose.
    fn io(&self) -> Option<io::ErrorKind> {
        let mut cause = self.source();
        loop {
            match cause?.downcast_ref::<io::Error>() {
                Some(error) => return Some(error.kind()),
                None => cause = cause?.source(),
            }
        }
    }

    fn disk_hint(&self) -> Option<String> {
        let hint = match self.io()? {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space there, then try again",
            io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only: make it writable, or name another place",
            io::ErrorKind::PermissionDenied => "only its owner may do that: look at its permissions",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn hints(&self) -> Vec<String> {
        use flow::Error as E;
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Failure::NoTerminal => hint("in scripts use --passphrase-file or --passphrase-fd"),
            Failure::Flow(E::NoDevice) | Failure::NoDevice => hint("to make them: git samesession device init"),
            Failure::OutputIsTerminal => hint("name a file with --output, or send it through a pipe"),
            Failure::Strict(_) => hint("to push all the same: git push --no-verify; 'git samesession hook status' tells more"),
            Failure::NotConfirmed(short) => vec![format!("in scripts: --confirm {short}")],
            Failure::TwoAnswers => hint("name a file with --output"),
            Failure::Flow(error) => match error {
                E::Env(env::Error::NotAbsolute { name, .. }) => vec![format!("set {name} to an absolute path")],
                E::Env(env::Error::NoHome) => hint("set HOME to your home directory"),
                E::Env(env::Error::NoWorkingDirectory(_)) => hint("go to a directory that exists"),
                E::UnknownAgent(_) => {
                    let known: Vec<_> = agent::all().iter().map(|agent| agent.name()).collect();
                    vec![format!("known agents: {}; a newer git-samesession may know more", known.join(", "))]
                }
                E::NoSuchSession(_) | E::NoCurrentSession(_) => vec![
                    "'git samesession sessions --all' lists every session on this machine".to_owned(),
                    "'git samesession list' lists those of the repository".to_owned(),
                ],
                E::NobodysCommit(_) => vec![
                    "commits are marked if samesession.link is set and hooks are installed: git samesession hook install --git".to_owned(),
                    "notes of other machines: git fetch REMOTE refs/notes/samesession:refs/notes/samesession".to_owned(),
                ],
                E::Ambiguous { .. } => hint("name the session by its id, or narrow the choice with --agent"),
                E::Changing(_) => hint("try again when the agent has finished its turn"),
                E::NothingYet(_) => hint("try again after the first answer"),
                E::OutputExists(_) => hint("choose another name, or replace it with --force"),
                E::RecipientFile(..) => {
                    hint("a recipient is age1…, ssh-ed25519 …, ssh-rsa …, or the path of a file such as ~/.ssh/id_ed25519.pub")
                }
                E::Unsigned => hint("ask its maker for a signed one, or take it this once with --allow-unsigned"),
                E::Store(store::Error::Unsigned(id)) => {
                    let id = pick::short(id);
                    vec![format!("ask its maker for a signed one, or take it this once: git samesession restore {id} --allow-unsigned")]
                }
                E::Seal(seal::Error::BadSignature(_)) => {
                    hint("somebody has changed it, or it came over damaged: ask its maker for it again")
                }
                E::SignatureRequired | E::NoMembersKey { .. } => {
                    hint("'git config --get --show-origin samesession.requireSignature' says who asks for that")
                }
                E::UnknownSigner { signer, .. } => vec![
                    "compare the fingerprint with what 'git samesession device show' says on the device that made the capsule".to_owned(),
                    format!("if they agree, repeat the command with --trust {}", signer.fingerprint),
                ],
                E::SeveralWays { sid, ways } => {
                    let commands = pick::commands(ways).into_iter().map(|way| format!("to go on from one: {way}"));
                    let more = [
                        "to take one over and start its agent: git samesession resume --tip COMMIT".to_owned(),
                        format!("to keep the one that stands here besides, first: git samesession fork {}", sid.short()),
                        "other commands take one of them by its commit, too".to_owned(),
                    ];
                    commands.chain(more).collect()
                }
                E::Deleted { .. } => hint("to begin again with it: git samesession checkpoint --revive, or import --revive"),
                E::Undecided { sid } => vec![format!("choose one first: git samesession restore {}", sid.short())],
                E::Theirs { name, .. } if name.starts_with("refs/samesession/") => {
                    vec![format!("if it is of no use, remove it: git update-ref -d {name}")]
                }
                E::Theirs { .. } => hint("whoever put it there has to put it right; nothing here depends on it"),
                E::Leased { sid, standing: Standing::Elsewhere, .. } => {
                    vec![format!(
                        "ask whoever handed it over, or take it all the same: git samesession resume {} --takeover REASON",
                        sid.short()
                    )]
                }
                E::Leased { sid, .. } => vec![
                    format!("wait for it: 'git samesession fetch', then 'git samesession lease status {}'", sid.short()),
                    format!("to take it all the same: git samesession resume {} --takeover REASON", sid.short()),
                    format!("for a copy that drives nothing: git samesession restore {}", sid.short()),
                ],
                E::CannotGoOn { .. } => vec![
                    "configure it there first; nothing was changed, and nobody else's lease was taken".to_owned(),
                    "to install it all the same and start nothing: --no-launch".to_owned(),
                ],
                E::SealedToOthers { recipient, .. } => vec![
                    format!("on the other machine: git samesession recipient add {recipient}, then git samesession push --all"),
                    "then here, in the clone: git samesession resume".to_owned(),
                ],
                E::NoNameForClone(_) => hint("name a directory: git samesession clone URL DIR"),
                E::NothingToResume => vec![
                    "'git samesession list' shows what this device can open, 'git samesession lease status' who drives it".to_owned(),
                    "on the other machine: git samesession move".to_owned(),
                ],
                E::Setting { name, .. } => vec![format!("git config {name} VALUE")],
                E::NoSuchGroup(_) => hint("'git samesession recipient group list' shows those there are"),
                E::RecoveryThere => hint(
                    "to make another: git samesession device revoke recovery; without a roster, git config --unset samesession.recovery",
                ),
                E::NoRecovery => {
                    hint("it may have been revoked, or belong to another store; restore -i FILE opens what was sealed to it all the same")
                }
                E::NoRoster => hint("restore -i FILE opens what was sealed to the key"),
                E::NotOnRoster => hint("to ask to be: git samesession device join"),
                E::NobodyAsks(_) => hint("'git samesession device list' shows who does; on the new device: git samesession device join"),
                E::NoSuchMember(_) => hint("'git samesession device list' shows who is on it"),
                E::WasRevoked { .. } => hint("it needs new keys: move its device directory away there, then git samesession device join"),
                E::NameTaken { .. } => hint("give it another name: --name"),
                E::NotCompared { .. } => hint("compare it with 'git samesession device show' there; in scripts: --fingerprint FINGERPRINT"),
                E::Unsure { remote, .. } => vec![format!("when it can be reached again: git samesession fetch {}", path::typed(remote))],
                E::NoRemote => hint("to add one: git remote add origin URL"),
                E::UnknownMaker { checkpoint } => vec![
                    "compare the fingerprint with what 'git samesession device show' says on the device that made it".to_owned(),
                    format!("if they agree: git samesession fetch --trust {}", checkpoint.signer.fingerprint),
                ],
                E::Git(git::Error::NoRepository) => hint("go into one, or use a file: git samesession checkpoint --output FILE"),
                E::Git(git::Error::Untrusted(dir)) => {
                    vec![format!("if you trust it: git config --global --add safe.directory {}", path::typed(dir))]
                }
                E::NoSuchRemote { known, .. } if known.is_empty() => hint("make it first: git remote add NAME ADDRESS"),
                E::NoSuchRemote { known, .. } | E::WhichRemote(known) => {
                    vec![format!("name one: git samesession init --remote NAME; there are {}", known.join(", "))]
                }
                E::RemoteName(_) => hint("give it another name: git remote rename OLD NEW"),
                E::Git(git::Error::Start(_)) => hint("install Git, or put it on PATH"),
                E::Store(store::Error::Moved { .. }) => hint("others are writing to it: try again"),
                E::Store(store::Error::Damaged { .. } | store::Error::Missing(_) | store::Error::Unreadable(_)) => {
                    hint("fetch it again, or restore an older one: 'git samesession log' lists them")
                }
                E::NoSuchReader(_) => hint("'git samesession recipient list' shows who reads what"),
                E::LastReader { .. } => hint("add somebody else first: git samesession recipient add KEY|FILE"),
                E::LocksOut { .. } => {
                    hint("it could neither restore it nor make another checkpoint of it; if that is meant, repeat the command with --force")
                }
                E::TooManyPassphrases { .. } => hint("to take them away: git samesession recipient remove --passphrase"),
                E::NoRepositoryHere => hint("go into a clone of it, or leave the workspace in the capsule: --session-only"),
                E::NoWorkTree => hint("go into a work tree, or leave out --here for a new one"),
                E::WorkspaceThere(_) => vec![
                    "for a new work tree name a directory that is not there yet".to_owned(),
                    "to use this one, if it is clean: --here; to leave the workspace in the capsule: --session-only".to_owned(),
                ],
                E::Work(restore::Error::OtherRepository { .. }) => {
                    hint("go into a clone of that one; if this is meant all the same: --force-repository, or --session-only")
                }
                E::Work(restore::Error::OtherFormat { .. }) => hint("its commits cannot be here; for the session alone: --session-only"),
                E::Work(restore::Error::Dirty(_) | restore::Error::InProgress(_) | restore::Error::WouldOverwrite(_)) => {
                    hint("commit or stash what is here, or leave out --here for a new work tree")
                }
                E::Work(restore::Error::Missing { .. }) => {
                    hint("push it where it is, or fetch it here; for the session alone: --session-only")
                }
                E::Workspace(workspace::Error::Operation(_)) => {
                    hint("finish or abort the operation, or leave the workspace behind: --session-only")
                }
                E::Secrets(findings) => {
                    let id = findings.first().map_or("ID", |finding| finding.id.as_str());
                    vec![
                        format!("if it may leave: git samesession secrets allow {id} --reason '...'"),
                        "to be warned only: git config samesession.secrets warn".to_owned(),
                    ]
                }
                E::NoRoom { .. } => {
                    hint("nothing was written; where nothing of this size is known of, whoever made it was wrong or means harm")
                }
                E::TooLarge { .. } => hint("samesession.maxSize says how much; --session-only leaves the work tree behind"),
                E::Redacted => hint("only the capsule that it is a copy of can be restored"),
                E::NotAFinding(_) => hint("ids have 16 hexadecimal digits; to see them: git samesession secrets scan"),
                E::NothingToUndo(_) => hint("only restores of the last thirty days can be taken back"),
                E::UsedSince(_) => hint("to lose what was done there since: git samesession undo --force; a session that went on stays"),
                E::BadSettings { .. } => hint("put it right, then try again; nothing was changed"),
                E::SharedHooks(_) => hint("to install there for all of them: git samesession hook install --git --global"),
                E::NoGlobalHooks => hint("to have some: git config --global core.hooksPath DIR, or Git 2.54 or later"),
                E::NoDestination(_) => hint("make the directory first, or name another one with --into"),
                E::Live { .. } => hint("quit it, then try again"),
                E::Diverged { keep_both, .. } => {
                    let set_aside = "to take the capsule's and keep a backup of the one here: repeat the command with --set-aside";
                    keep_both.iter().cloned().chain([set_aside.to_owned()]).collect()
                }
                E::LeanedOn { keep_both, .. } => vec![keep_both.clone()],
                E::Busy(_) => hint("wait for it to end, then try again"),
                E::RolledBack(_) => hint("remove the cause and try again; nothing is lost"),
                E::NeedsYou { .. } => hint("to see what is left to do: git samesession doctor"),
                E::Device(device::Error::Permissions { path, .. }) => {
                    let mode = if path.is_dir() { "700" } else { "600" };
                    vec![format!("chmod {mode} '{}'", path.display())]
                }
                E::Device(device::Error::Damaged { path, .. }) => {
                    let dir = path.parent().unwrap_or(path);
                    vec![format!(
                        "bring '{}' back from a backup, or move it away and make new keys: git samesession device init",
                        dir.display()
                    )]
                }
                E::Device(device::Error::Name(_)) => hint("name it with --name"),
                E::Device(device::Error::Exists(_)) => hint("to see its keys: git samesession device show"),
                E::Agent(agent::Error::Transcript { .. }) => hint("if it is one in the agent's home, move it away and try again"),
                E::Agent(agent::Error::Name { .. }) => hint("give it another name, or move it out of the agent's home"),
                E::Capsule(capsule::Error::CaseCollision(..)) => {
                    hint("give one of them another name where the session is, then checkpoint it again")
                }
                E::Agent(agent::Error::MissingAncestor { .. }) => {
                    hint("checkpoint it on the machine where it was forked, or bring the ancestor here first")
                }
                E::Seal(error) => seal_hints(error),
                E::Capsule(capsule::Error::Newer { .. } | capsule::Error::Requires(_)) => hint("a newer git-samesession can open it"),
                E::Capsule(capsule::Error::Damaged(_) | capsule::Error::Lies(_)) => hint("get the capsule again; nothing was installed"),
                E::Capsule(capsule::Error::NotACapsule(_)) => hint("capsules are what 'git samesession checkpoint' writes"),
                E::Capsule(capsule::Error::Write(_) | capsule::Error::Read(_)) => Vec::new(),
                E::Capsule(_) | E::Foreign(_) | E::Agent(agent::Error::Foreign { .. }) => {
                    hint("no checkpoint looks like this: ask its maker for another, and do not believe this one")
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn seal_hints(error: &seal::Error) -> Vec<String> {
    let text = match error {
        seal::Error::NoMatch { .. } => {
            "name the key with --identity, or have it sealed to this device, too: 'git samesession device show' prints its recipient"
        }
        seal::Error::NotSealed => "capsules are what 'git samesession checkpoint' writes",
        seal::Error::NeedsPassphrase => "open it with --passphrase; in scripts with --passphrase-file or --passphrase-fd",
        seal::Error::SignElsewhere(_) => "it is as for Git: gpg.format ssh, and user.signingKey; or git config samesession.sign device",
        seal::Error::SignBeside(_) => {
            "it is as for 'git commit -S': gpg.format, its program, user.signingKey; or git config samesession.sign device"
        }
        seal::Error::Locked => "run it at a terminal, or take the passphrase off: git samesession device passphrase --remove",
        seal::Error::Damaged(_) => "get the capsule again; nothing was installed",
        seal::Error::Mixed => "use either --passphrase or --recipient",
        seal::Error::SecretKey => "name the file with its public half, or what 'git samesession device show' prints over there",
        seal::Error::SshKeyType(_) => "use an ssh-ed25519 or ssh-rsa key, or an age key",
        _ => return Vec::new(),
    };
    vec![text.to_owned()]
}

pub fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() {
        let (kind, exit) = ("usage", 129);
        let message = error.kind().to_string();
        let causes = error.to_string().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let answer = Json { schema: "samesession.error/1", kind, message, causes, hints: &[], candidates: Vec::new(), secrets: &[], exit };
        let _ = writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&answer).unwrap_or_default());
        return ExitCode::from(exit);
    }
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // After `git samesession`, '--help' is Git's and needs the man page; '-h' always answers.
    let text = error.render().to_string();
    let _ = write!(io::stderr(), "{}", text.replace("try '--help'", "try '-h'"));
    ExitCode::from(129)
}

/// The number of the signal that asked us to stop; Ctrl-C at a question comes without one.
pub fn signal() -> Arc<AtomicUsize> {
    static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(AtomicUsize::new(signal_hook::consts::SIGINT as usize)));
    Arc::clone(&SIGNAL)
}

/// Ends as a process ends that the signal stopped, so that shells and scripts see what happened.
fn interrupted() -> ExitCode {
    let signal = i32::try_from(signal().load(Ordering::Relaxed)).unwrap_or(signal_hook::consts::SIGINT);
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    ExitCode::from(130)
}
