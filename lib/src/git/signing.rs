//! The signing key that the user's Git is configured with, used as Git uses it: `ssh-keygen -Y sign`, or what takes its
//! place, with a key in a file, in an agent or in hardware.
//!
//! With `gpg.format = ssh` that key signs everything. A key of gpg's signs commits besides the device's own: everybody who
//! reads a checkpoint verifies who made it before anything is opened, and has no keyring.
//! What must stay true: what is signed goes through a pipe and never through a file.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::gpg::Gpg;
use super::{Config, Repository};
use crate::env::Env;
use crate::seal::{Elsewhere, Error, SigningKey, Witness, Zeroizing, public_half};

/// Which key signs: `device`, which is the default, or `git`.
pub const SIGN: &str = "samesession.sign";
const USUAL: &str = "ssh-keygen";

struct UsersKey {
    program: OsString,
    key: Key,
    env: Env,
}

enum Key {
    /// A private key, or a public one whose other half an agent has.
    File(PathBuf),
    /// The public half itself.
    Literal(String),
}

/// A key that should sign and cannot, and why: that is said when something is to be signed.
struct Unusable(String);

/// Who signs in a repository.
pub enum Chosen {
    /// The device, with the key that was made with it.
    Device,
    /// A key of the user's in its place.
    Instead(Box<SigningKey>),
    /// The device, and commits somebody else besides.
    Beside(Box<dyn Witness>),
}

/// As this repository is to be signed. `like` says whose the signature would be where it cannot.
pub fn chosen(env: &Env, repo: &Repository, like: &str) -> Result<Chosen, Error> {
    let found = match repo.config.get(SIGN) {
        None | Some("device") => return Ok(Chosen::Device),
        Some("git") => match repo.config.get("gpg.format").unwrap_or("openpgp") {
            "ssh" => find(env, &repo.config),
            format @ ("openpgp" | "x509") => return Ok(Chosen::Beside(Box::new(Gpg::configured(env, repo, format)))),
            other => Err(format!("gpg.format is '{other}', and Git knows 'ssh', 'openpgp' and 'x509'")),
        },
        Some(other) => Err(format!("{SIGN} is '{other}', and can be 'device' or 'git'")),
    };
    let key = match found {
        Ok((public, key)) => SigningKey::elsewhere(&public, Box::new(key)),
        Err(why) => SigningKey::elsewhere(like, Box::new(Unusable(why))),
    };
    key.map(|key| Chosen::Instead(Box::new(key)))
}

fn find(env: &Env, config: &Config) -> Result<(String, UsersKey), String> {
    let named = config.get("user.signingkey").filter(|key| !key.is_empty()).ok_or("user.signingKey is not set")?;
    let (public, key) = match named.strip_prefix("key::").or(named.starts_with("ssh-").then_some(named)) {
        Some(literal) => (literal.to_owned(), Key::Literal(literal.to_owned())),
        None => {
            let path = match named.strip_prefix("~/") {
                Some(rest) => env.home().join(rest),
                None => env.cwd().join(named),
            };
            (public_of(&path)?, Key::File(path))
        }
    };
    let program = config.get("gpg.ssh.program").filter(|program| !program.is_empty()).unwrap_or(USUAL).into();
    let whole = crate::seal::fingerprint_of(&public).is_some();
    if whole { Ok((public, UsersKey { program, key, env: env.clone() })) } else { Err("it is no SSH key that can be read".to_owned()) }
}

/// The public half of what lies there: the file itself, the one beside it, or what an OpenSSH private key says in the clear.
fn public_of(path: &Path) -> Result<String, String> {
    let cannot = |path: &Path| format!("'{}' cannot be read", path.display());
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|_| cannot(path))?);
    let line = |text: &str| text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned);
    if !text.trim_start().starts_with("-----BEGIN ") {
        return line(&text).ok_or_else(|| cannot(path));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    let beside = fs::read_to_string(beside).ok().and_then(|text| line(&text));
    beside.or_else(|| public_half(&text)).ok_or_else(|| format!("the public half of '{}' is not beside it", path.display()))
}

impl Elsewhere for UsersKey {
    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, Error> {
        let failed = |why: String| Error::SignElsewhere(why);
        let mut command = Command::new(&self.program);
        if self.program == USUAL {
            command.arg("-q");
        }
        command.args(["-Y", "sign", "-n", namespace]);
        // Git writes such a key to a file as well; it is public. It must outlive the program.
        let mut literal = tempfile::Builder::new();
        let literal = literal.prefix("samesession-");
        let held = match &self.key {
            Key::File(path) => {
                command.arg("-f").arg(path);
                None
            }
            Key::Literal(line) => {
                let mut file = literal.tempfile_in(self.env.temp_dir()).map_err(|error| failed(error.to_string()))?;
                writeln!(file, "{line}").map_err(|error| failed(error.to_string()))?;
                command.arg("-U").arg("-f").arg(file.path());
                Some(file)
            }
        };
        command.current_dir(self.env.cwd()).env_clear().envs(self.env.vars());
        if self.env.var("SAMESESSION_UNATTENDED").is_some() {
            // A terminal may be there, and a program of the background that asks at it is stopped for ever.
            command.env("SSH_ASKPASS_REQUIRE", "force").env("SSH_ASKPASS", "false");
        }
        // What it says of keys to be touched is for whoever sits there.
        let program = self.program.to_string_lossy();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = child.map_err(|error| failed(format!("'{program}' cannot be started: {error}")))?;
        // It reads everything before it writes; if it dies, its exit status says so.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(message));
        let out = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        drop(held);
        if !out.status.success() {
            return Err(failed(format!("'{program} -Y sign' says no ({})", out.status)));
        }
        String::from_utf8(out.stdout).map_err(|_| failed(format!("'{program}' gave no signature")))
    }
}

impl Elsewhere for Unusable {
    fn sign(&self, _: &str, _: &[u8]) -> Result<String, Error> {
        Err(Error::SignElsewhere(self.0.clone()))
    }
}
