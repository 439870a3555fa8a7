//! Starting `git`: nothing else in the crate does.
//!
//! What must stay true: a child never shares our standard input or output, and words that came from outside stand behind
//! `--` or are checked names. `SAMESESSION_TRACE=1` shows each start on standard error, as `GIT_TRACE` would.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use crate::env::{self, Env};
use crate::progress::interrupted;

/// What makes Git work in a certain repository: `git rev-parse --local-env-vars`.
const LOCAL: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_QUARANTINE_PATH",
];

/// Those of them that say where a repository is; the others are settings, which a new one has as well.
pub const LOCATING: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start git")]
    Start(#[source] io::Error),
    #[error("not in a Git repository")]
    NoRepository,
    /// `safe.directory`: Git runs nothing there.
    #[error("git does not trust '{0}': it belongs to somebody else")]
    Untrusted(String),
    /// Its own words, as far as they matter.
    #[error("git {verb} failed: {said}")]
    Failed { verb: String, said: String, code: Option<i32> },
    #[error("git {verb} gave an answer that makes no sense")]
    Nonsense { verb: String },
    #[error("interrupted")]
    Interrupted,
}

#[derive(Debug, Clone)]
pub struct Git {
    dir: PathBuf,
    vars: Vec<(OsString, OsString)>,
    /// Before the verb.
    options: Vec<OsString>,
    trace: bool,
    /// Its standard error is ours.
    aloud: bool,
}

impl Git {
    /// In the repository that Git finds from this directory, by its own rules and the user's variables.
    pub fn at(env: &Env, dir: &Path) -> Git {
        let vars = env.vars().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Git { dir: dir.to_owned(), vars, options: Vec::new(), trace: env.var("SAMESESSION_TRACE").is_some(), aloud: false }
    }

    /// In a bare repository of our own, whatever the user's variables say.
    pub fn bare(env: &Env, git_dir: &Path) -> Git {
        let mut git = Git::at(env, git_dir);
        git.vars.retain(|(name, _)| !LOCAL.iter().any(|local| name == local));
        git.options.push("--git-dir".into());
        git.options.push(git_dir.into());
        git
    }

    /// In the repository that Git finds from another directory: nothing of what leads to this one goes along.
    pub fn elsewhere(&self, dir: &Path) -> Git {
        let vars = self.vars.iter().filter(|(name, _)| !LOCAL.iter().any(|local| name == local)).cloned().collect();
        Git { dir: dir.to_owned(), vars, options: Vec::new(), trace: self.trace, aloud: false }
    }

    /// In a bare repository of our own, from this directory, with these settings besides those of the user's account.
    pub fn beside(&self, git_dir: &Path, dir: &Path, settings: &[(String, String)]) -> Git {
        let mut git = self.elsewhere(dir).env("GIT_CONFIG_COUNT", settings.len().to_string());
        // Not on the command line: a header with a password in it is nobody else's business.
        for (n, (key, value)) in settings.iter().enumerate() {
            git = git.env(&format!("GIT_CONFIG_KEY_{n}"), key).env(&format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        git.options.extend(["--git-dir".into(), git_dir.into()]);
        git
    }

    /// In this repository, at the top of the work tree that belongs to this `.git`.
    pub fn at_top(&self, git_dir: &Path, top: &Path) -> Git {
        let mut git = self.env("GIT_DIR", git_dir).env("GIT_WORK_TREE", top);
        git.vars.retain(|(name, _)| name != "GIT_PREFIX");
        git.dir = top.to_owned();
        git
    }

    /// With a setting for this one run.
    pub fn with(&self, setting: &str) -> Git {
        let mut git = self.clone();
        git.options.extend(["-c".into(), setting.into()]);
        git
    }

    /// With a variable for this one run.
    pub fn env(&self, name: &str, value: impl AsRef<OsStr>) -> Git {
        let mut git = self.clone();
        git.vars.retain(|(known, _)| known != name);
        git.vars.push((name.into(), value.as_ref().to_owned()));
        git
    }

    /// Where nobody is there to answer (`SAMESESSION_UNATTENDED`), SSH asks nothing; a command of the user's own stays as it is.
    pub(super) fn quiet_ssh(self) -> Git {
        let has = |name: &str| self.vars.iter().any(|(known, _)| known == name);
        let alone = has("SAMESESSION_UNATTENDED") && !has("GIT_SSH_COMMAND") && !has("GIT_SSH");
        if alone { self.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes") } else { self }
    }

    /// With our standard error for its own: a person watches what it says, in their own language. Nothing is heard of it
    /// but whether it was done.
    pub fn watched<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<(), Error> {
        let mut command = self.command(args);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).status().map_err(Error::Start)?;
        match status.success() {
            true => Ok(()),
            false if interrupted() => Err(Error::Interrupted),
            false => Err(Error::Failed { verb: verb(args), said: "it says above why".to_owned(), code: status.code() }),
        }
    }

    /// What it printed; an exit code other than 0 is an error with its words.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Vec<u8>, Error> {
        self.feed(args, b"")
    }

    /// As `run`, in lines.
    pub fn lines<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Vec<String>, Error> {
        let out = self.run(args)?;
        let text = String::from_utf8(out).map_err(|_| Error::Nonsense { verb: verb(args) })?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// As `run`, with this on its standard input.
    pub fn feed<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Vec<u8>, Error> {
        let out = self.output(args, input)?;
        if out.status.success() { Ok(out.stdout) } else { Err(failed(args, &out)) }
    }

    /// As `feed`; what it prints goes to this file and never through memory.
    pub fn feed_to_file<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8], to: &File) -> Result<(), Error> {
        let to = to.try_clone().map_err(Error::Start)?;
        let out = feed(self.spawn(args, fed(input), to.into())?, |mut stdin| stdin.write_all(input))?;
        if out.status.success() { Ok(()) } else { Err(failed(args, &out)) }
    }

    /// As `run`, with an open file as its standard input, which may be larger than memory, and a bound on what the program
    /// may allocate, where the system can set one: what the file unpacks to is not known.
    pub fn feed_file<S: AsRef<OsStr>>(&self, args: &[S], mut input: File, memory: u64) -> Result<Vec<u8>, Error> {
        let child = self.spawn(args, Stdio::piped(), Stdio::piped())?;
        bound(&child, memory);
        // Through a pipe: with the file itself it would have begun before it was bound.
        let out = feed(child, |mut stdin| io::copy(&mut input, &mut stdin).map(drop))?;
        if out.status.success() { Ok(out.stdout) } else { Err(failed(args, &out)) }
    }

    /// The whole outcome: for callers to whom a refusal is an answer.
    pub fn output<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Output, Error> {
        feed(self.spawn(args, fed(input), Stdio::piped())?, |mut stdin| stdin.write_all(input))
    }

    /// As `output`, and what it says on standard error goes to ours as it comes: progress, and what a server has to say.
    pub fn aloud<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Output, Error> {
        Git { aloud: true, ..self.clone() }.output(args, input)
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let path = self.vars.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path);
        // By its path: to look for a program, the standard library would first make a copy of this process.
        let program = path.and_then(|path| env::program(path, "git")).unwrap_or_else(|| "git".into());
        let mut command = Command::new(program);
        command.args(&self.options).args(args).current_dir(&self.dir).env_clear().envs(self.vars.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Started ahead of its input, while that is made.
    pub fn begin<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Begun, Error> {
        Ok(Begun(Some(self.spawn(args, Stdio::piped(), Stdio::piped())?)))
    }

    fn spawn<S: AsRef<OsStr>>(&self, args: &[S], stdin: Stdio, stdout: Stdio) -> Result<Child, Error> {
        let mut command = self.command(args);
        // Its words are parsed.
        command.env("LC_ALL", "C").env_remove("LANGUAGE");
        command.stdin(stdin).stdout(stdout).stderr(if self.aloud { Stdio::inherit() } else { Stdio::piped() });
        if self.trace {
            let words: Vec<_> = self.options.iter().map(OsString::as_os_str).chain(args.iter().map(AsRef::as_ref)).collect();
            let _ = writeln!(io::stderr(), "trace: git {}", words.join(OsStr::new(" ")).display());
        }
        command.spawn().map_err(Error::Start)
    }
}

/// What was done is done, whatever signal came meanwhile: whoever goes on asks for it where there is nothing half done, and
/// whoever takes something back must be able to.
fn feed(mut child: Child, write: impl FnOnce(ChildStdin) -> io::Result<()> + Send) -> Result<Output, Error> {
    let feeding = child.stdin.take();
    // On a thread of its own: it may answer before it has read everything, and both pipes are finite.
    let out = std::thread::scope(|scope| {
        if let Some(stdin) = feeding {
            scope.spawn(move || write(stdin));
        }
        child.wait_with_output()
    });
    let out = out.map_err(Error::Start)?;
    // 1 is an answer: there is no such thing, it is none of those.
    let failed = !matches!(out.status.code(), Some(0 | 1));
    if failed && interrupted() { Err(Error::Interrupted) } else { Ok(out) }
}

/// A git that waits for its input. One that is given up gets none, and ends.
pub struct Begun(Option<Child>);

impl Begun {
    pub fn feed(mut self, input: &[u8]) -> Result<Output, Error> {
        let child = self.0.take().ok_or(Error::Start(io::ErrorKind::BrokenPipe.into()))?;
        feed(child, |mut stdin| stdin.write_all(input))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Of its own memory; files that it maps do not count.
#[cfg(target_os = "linux")]
fn bound(child: &Child, memory: u64) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let limit = Rlimit { current: Some(memory), maximum: Some(memory) };
    let _ = prlimit(Some(Pid::from_child(child)), Resource::Data, limit);
}

#[cfg(not(target_os = "linux"))]
fn bound(_: &Child, _: u64) {}

fn fed(input: &[u8]) -> Stdio {
    if input.is_empty() { Stdio::null() } else { Stdio::piped() }
}

pub fn failed<S: AsRef<OsStr>>(args: &[S], out: &Output) -> Error {
    let said = String::from_utf8_lossy(&out.stderr);
    if said.contains("not a git repository") {
        return Error::NoRepository;
    }
    if let Some((_, place)) = said.split_once("dubious ownership in repository at '") {
        let end = place.find("'\n").unwrap_or(place.trim_end().trim_end_matches('\'').len());
        return Error::Untrusted(place[..end].chars().take(4096).collect());
    }
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let mut said: Vec<_> = lines.map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: ")).collect();
    said.truncate(6);
    Error::Failed { verb: verb(args), said: sentence(&said).chars().take(600).collect(), code: out.status.code() }
}

/// Its lines as one. What ends in a mark of its own needs none of ours behind it.
pub(super) fn sentence(lines: &[&str]) -> String {
    let mut said = String::new();
    for line in lines {
        if !said.is_empty() {
            said.push_str(if said.ends_with(['.', ',', ':', ';', '!', '?']) { " " } else { "; " });
        }
        said.push_str(line);
    }
    said
}

fn verb<S: AsRef<OsStr>>(args: &[S]) -> String {
    args.first().map(|verb| verb.as_ref().to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_one_without_two_marks_in_a_row() {
        for (lines, one) in [
            (
                &["Could not read from remote repository.", "Please make sure", "it is there"][..],
                "Could not read from remote repository. Please make sure; it is there",
            ),
            (&["remote: one:", "two"], "remote: one: two"),
            (&["only"], "only"),
            (&[], ""),
        ] {
            assert_eq!(sentence(lines), one);
        }
    }
}
