//! The only reader of the process's environment: variables, home, working directory, clock, host name.
//!
//! Everything else receives an `Env`, so that a test can build its own and nothing depends on the machine it runs on.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("HOME is not set")]
    NoHome,
    #[error("{name} is not an absolute path: '{}'", value.display())]
    NotAbsolute { name: &'static str, value: PathBuf },
    #[error("the working directory cannot be read")]
    NoWorkingDirectory(#[source] std::io::Error),
}

#[derive(Debug, Clone)]
pub struct Env {
    vars: BTreeMap<OsString, OsString>,
    home: PathBuf,
    cwd: PathBuf,
    host: String,
    now: Option<SystemTime>,
    /// A clock that is wrong, for tests of what a wrong clock does; not in release builds.
    ahead: Option<PathBuf>,
}

impl Env {
    pub fn from_process() -> Result<Env, Error> {
        let cwd = std::env::current_dir().map_err(Error::NoWorkingDirectory)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Env::new(std::env::vars_os().collect(), cwd, host)
    }

    pub fn new(vars: BTreeMap<OsString, OsString>, cwd: PathBuf, host: String) -> Result<Env, Error> {
        let ahead = vars.get(OsStr::new("SAMESESSION_TEST_CLOCK")).filter(|_| cfg!(debug_assertions)).map(PathBuf::from);
        let mut env = Env { vars, home: PathBuf::new(), cwd, host, now: None, ahead };
        env.home = env.dir("HOME")?.ok_or(Error::NoHome)?;
        Ok(env)
    }

    /// A fixed clock, for output that must not change from run to run.
    pub fn at(mut self, now: SystemTime) -> Env {
        self.now = Some(now);
        self
    }

    /// The same environment in other hands: another home and directory, no variable of the first one left.
    pub fn elsewhere(&self, home: &Path, cwd: &Path) -> Env {
        let vars = self.vars.iter().filter(|(name, _)| *name == "PATH").map(|(n, v)| (n.clone(), v.clone())).collect();
        Env { vars, home: home.to_owned(), cwd: cwd.to_owned(), host: self.host.clone(), now: self.now, ahead: self.ahead.clone() }
    }

    /// The same user standing in another directory; without these variables, which mean something only where they stood.
    pub fn standing_in(&self, cwd: &Path, without: &[&str]) -> Env {
        let mut env = Env { cwd: cwd.to_owned(), ..self.clone() };
        env.vars.retain(|name, _| name != "PWD" && name != "OLDPWD" && !without.iter().any(|other| name == other));
        env
    }

    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// All of them, for a program that is started.
    pub fn vars(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.vars.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// A variable that names a directory. A relative one would mean another place in every working directory.
    pub fn dir(&self, name: &'static str) -> Result<Option<PathBuf>, Error> {
        match self.var(name).map(PathBuf::from) {
            Some(value) if !value.is_absolute() => Err(Error::NotAbsolute { name, value }),
            value => Ok(value),
        }
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn now(&self) -> SystemTime {
        let seconds = |file: &PathBuf| std::fs::read_to_string(file).ok()?.trim().parse::<i64>().ok();
        let now = self.now.unwrap_or_else(SystemTime::now);
        match self.ahead.as_ref().and_then(seconds) {
            Some(ahead) if ahead < 0 => now - Duration::from_secs(ahead.unsigned_abs()),
            Some(ahead) => now + Duration::from_secs(ahead.unsigned_abs()),
            None => now,
        }
    }

    /// Where this device's keys and the signers it knows are kept.
    pub fn config_dir(&self) -> Result<PathBuf, Error> {
        Ok(self.dir("XDG_CONFIG_HOME")?.unwrap_or_else(|| self.home.join(".config")).join("samesession"))
    }

    pub fn temp_dir(&self) -> PathBuf {
        self.var("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }

    /// The program that is running.
    pub fn own_program(&self) -> std::io::Result<PathBuf> {
        std::env::current_exe()
    }

    /// The program as the shell would find it.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.var("PATH")?;
        found(std::env::split_paths(path), name)
    }
}

/// The program as it would be found wherever it is started; none where that depends on the place.
pub fn program(path: &OsStr, name: &str) -> Option<PathBuf> {
    found(std::env::split_paths(path).take_while(|dir| dir.is_absolute()), name)
}

fn found(dirs: impl Iterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    dirs.map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_no_place_decides_about_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let [none, plain, right] = ["none", "plain", "right"].map(|name| dir.path().join(name));
        for (place, mode) in [(&plain, 0o644), (&right, 0o755)] {
            std::fs::create_dir(place).expect("made");
            std::fs::write(place.join("tool"), "").expect("written");
            std::fs::set_permissions(place.join("tool"), std::fs::Permissions::from_mode(mode)).expect("set");
        }
        let look = |dirs: &[&Path]| program(&std::env::join_paths(dirs).expect("a path"), "tool");
        assert_eq!(look(&[&none, &plain, &right]), Some(right.join("tool")));
        assert_eq!(look(&[Path::new("here"), &right]), None, "which one it is depends on where it is started");
        assert_eq!(look(&[&right, Path::new("here")]), Some(right.join("tool")));
        assert_eq!(look(&[&none]), None);
    }
}
