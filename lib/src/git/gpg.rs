//! The user's gpg, or gpgsm, asked as Git asks it, for what Git shows of a commit.
//!
//! It decides nothing here: who made a checkpoint is for the SSH signature beside it. What must stay true: where nobody is
//! there to answer, nobody is asked.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::run::sentence;
use super::{Git, Repository};
use crate::env::Env;
use crate::seal::{Error, Witness};

/// How a line for programs begins, and the one that says that it is done.
const STATUS: &str = "[GNUPG:]";
const MADE: &str = "[GNUPG:] SIG_CREATED ";
/// So much of what it says is passed on.
const SAID: usize = 400;

pub struct Gpg {
    program: PathBuf,
    key: Option<String>,
    committer: OnceLock<Result<String, String>>,
    git: Git,
    env: Env,
}

impl Gpg {
    /// As `gpg.format` is set: `openpgp` or `x509`.
    pub fn configured(env: &Env, repo: &Repository, format: &str) -> Gpg {
        let set = |key: &str| repo.config.get(key).filter(|value| !value.is_empty());
        let (program, usual) = match format {
            "x509" => (set("gpg.x509.program"), "gpgsm"),
            _ => (set("gpg.openpgp.program").or_else(|| set("gpg.program")), "gpg"),
        };
        let program = program.unwrap_or(usual);
        Gpg {
            program: program.strip_prefix("~/").map_or_else(|| program.into(), |rest| env.home().join(rest)),
            key: set("user.signingkey").map(str::to_owned),
            committer: OnceLock::new(),
            git: repo.git.clone(),
            env: env.clone(),
        }
    }

    /// Whose key it is, in words that gpg finds one by: by default the committer, as for Git.
    fn key(&self) -> Result<&str, Error> {
        if let Some(key) = &self.key {
            return Ok(key);
        }
        let ask = || {
            let said = self.git.lines(&["var", "GIT_COMMITTER_IDENT"]).map_err(|error| error.to_string())?;
            let ident = said.first().and_then(|line| line.rsplit_once('>')).map(|(ident, _)| format!("{ident}>"));
            ident.ok_or_else(|| "Git names no committer".to_owned())
        };
        let committer = self.committer.get_or_init(ask).as_deref();
        committer.map_err(|why| Error::SignBeside(format!("user.signingKey is not set, and {why}")))
    }
}

impl Witness for Gpg {
    fn sign(&self, message: &[u8]) -> Result<String, Error> {
        let failed = |why: String| Error::SignBeside(why);
        let program = self.program.display();
        let mut command = Command::new(&self.program);
        if self.env.var("SAMESESSION_UNATTENDED").is_some() {
            // Its agent has a display of its own to ask at, whatever we leave it of the environment.
            command.args(["--batch", "--no-tty", "--pinentry-mode", "error"]);
        }
        command.args(["--status-fd=2", "-bsau", self.key()?]);
        command.current_dir(self.env.cwd()).env_clear().envs(self.env.vars());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed(format!("'{program}' cannot be started: {error}")))?;
        // A commit fits into the pipe. If it dies before it has read it, what it says tells so.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(message));
        let out = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        let said = String::from_utf8_lossy(&out.stderr);
        if !out.status.success() || !said.lines().any(|line| line.starts_with(MADE)) {
            let mut words: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(STATUS)).collect();
            words.dedup();
            words.truncate(4);
            let words: String = sentence(&words).chars().take(SAID).collect();
            let why = if words.is_empty() { out.status.to_string() } else { words };
            return Err(failed(format!("'{program}' made no signature: {why}")));
        }
        let made = String::from_utf8(out.stdout).map_err(|_| failed(format!("'{program}' made no signature that is text")))?;
        // As Git does: programs of other systems end lines as it is done there.
        Ok(made.replace("\r\n", "\n"))
    }
}
