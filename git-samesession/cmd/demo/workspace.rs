//! A repository that somebody left in the middle of something, and whether it looks the same elsewhere.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use samesession::env::Env;
use samesession::git::Git;

use crate::failure::Failure;

/// The bare repository, with one commit in it that both machines have.
pub fn begin(env: &Env, origin: &Path) -> Result<(), Failure> {
    let git = git(env, env.cwd());
    git.run(&["init", "--quiet", "-b", "main"])?;
    write(env, "app.py", "print('hello')\n")?;
    write(env, "old.py", "pass\n")?;
    write(env, "notes.txt", "one\ntwo\n")?;
    git.run(&["add", "."])?;
    git.run(&["commit", "--quiet", "-m", "Begin"])?;
    git.run(&["remote".as_ref(), "add".as_ref(), "origin".as_ref(), origin.as_os_str()])?;
    git.run(&["push", "--quiet", "--set-upstream", "origin", "main"])?;
    Ok(())
}

/// A rebase that stopped at a conflict, and beside it everything that a work tree can hold.
pub fn leave(env: &Env) -> Result<(), Failure> {
    let git = git(env, env.cwd());
    git.run(&["switch", "--quiet", "-c", "topic"])?;
    write(env, "app.py", "print('hello from the topic')\n")?;
    git.run(&["commit", "--quiet", "-am", "Say where from"])?;
    git.run(&["switch", "--quiet", "main"])?;
    write(env, "app.py", "print('hello from main')\n")?;
    git.run(&["commit", "--quiet", "-am", "Say where from, too"])?;
    let stopped = git.output(&["rebase", "--quiet", "main", "topic"], b"")?;
    if stopped.status.success() {
        return Err(Failure::Demo("the sample rebase did not stop".to_owned()));
    }
    write(env, "notes.txt", "one\ntwo, staged\n")?;
    git.run(&["add", "notes.txt"])?;
    write(env, "notes.txt", "one\ntwo, staged\nthree, not staged\n")?;
    fs::remove_file(env.cwd().join("old.py")).map_err(failed)?;
    write(env, "run me.sh", "#!/bin/sh\necho new\n")?;
    fs::set_permissions(env.cwd().join("run me.sh"), fs::Permissions::from_mode(0o755)).map_err(failed)
}

/// What Git says of a work tree; on which branch its HEAD is, or a rebase will end, is the work tree's own.
pub fn status(env: &Env, dir: &Path) -> Result<Vec<String>, Failure> {
    let git = git(env, dir);
    let mut lines = git.lines(&["status", "--short"])?;
    lines.push(format!("HEAD at {}", git.lines(&["rev-parse", "--short=10", "HEAD"])?.join("")));
    let long = git.lines(&["status"])?;
    lines.extend(long.iter().filter(|line| line.contains("rebase in progress")).cloned());
    Ok(lines)
}

/// The same names, marks and blobs in the index, the same bytes and permissions in the work tree.
pub fn is_same(one: (&Env, &Path), other: (&Env, &Path)) -> Result<bool, Failure> {
    let of = |(env, dir): (&Env, &Path)| -> Result<_, Failure> {
        let git = git(env, dir);
        let index = git.run(&["ls-files", "--stage", "-z"])?;
        let names = git.lines(&["ls-files", "--cached", "--others", "--deduplicate"])?;
        let look = |name: &String| (name.clone(), fs::read(dir.join(name)).ok(), mode(&dir.join(name)));
        Ok((status(env, dir)?, index, names.iter().map(look).collect::<Vec<_>>()))
    };
    Ok(of(one)? == of(other)?)
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|meta| meta.permissions().mode())
}

/// In the demonstration's own home, under a name of its own.
fn git(env: &Env, dir: &Path) -> Git {
    let names = ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"];
    names.iter().fold(Git::at(env, dir), |git, name| git.env(name, "demo@example.org")).env("GIT_EDITOR", "true")
}

fn write(env: &Env, name: &str, text: &str) -> Result<(), Failure> {
    fs::write(env.cwd().join(name), text).map_err(failed)
}

fn failed(error: io::Error) -> Failure {
    Failure::Demo(error.to_string())
}
