//! Files that make programs run, which an operation will put into the work tree when it goes on.
//!
//! Looked for in the commits and patches that are still to be applied and came along; what a remote has is as it would be
//! without us.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::Oid;
use super::super::name::Name;
use super::{Error, Operation, Todo};
use crate::git::{Git, Repository};
use crate::policy;

/// More than anybody has before him.
const MOST: usize = 2000;

/// The same, such that a rebase stops before each of these commits; and one line for each file, as a person can judge it.
/// `known` are commits that some remote has.
pub fn stops_before(repo: &Repository, operation: &Operation, known: &[Oid]) -> Result<(Operation, Vec<String>), Error> {
    let mut operation = operation.clone();
    let mut said = Vec::new();
    let of = |todo: &[Todo]| todo.iter().flat_map(Todo::commits).collect::<Vec<Oid>>();
    let commits = match &operation {
        Operation::Rebase(rebase) => of(&rebase.todo),
        Operation::CherryPick(pick) | Operation::Revert(pick) => {
            pick.sequence.as_ref().map(|sequence| of(&sequence.todo)).unwrap_or_default()
        }
        Operation::Apply(apply) => apply.commits.clone(),
        _ => Vec::new(),
    };
    let found = look(&repo.git, &commits, known)?;
    for (commit, paths) in &found {
        said.extend(paths.iter().map(|path| format!("'{path}' of commit {}", commit.0)));
    }
    let patches = match &operation {
        Operation::Am(am) => am.patches.iter().chain(&am.mail.current.patch).collect(),
        _ => Vec::new(),
    };
    for path in patches.into_iter().flat_map(|patch| named(patch.as_bytes())).collect::<BTreeSet<Name>>() {
        said.push(format!("'{path}' of a patch"));
    }
    if let Operation::Rebase(rebase) = &mut operation {
        let lines = std::mem::take(&mut rebase.todo);
        for line in lines {
            let brings = line.commits().iter().any(|commit| found.contains_key(commit));
            rebase.todo.extend(brings.then_some(Todo::Break));
            rebase.todo.push(line);
        }
    }
    Ok((operation, said))
}

fn look(git: &Git, commits: &[Oid], known: &[Oid]) -> Result<BTreeMap<Oid, Vec<Name>>, Error> {
    let mut found = BTreeMap::new();
    if commits.is_empty() {
        return Ok(found);
    }
    let revisions = commits.iter().map(|oid| format!("{}\n", oid.0)).chain(known.iter().map(|oid| format!("^{}\n", oid.0)));
    let came = git.feed(&["rev-list", "--stdin"], revisions.collect::<String>().as_bytes())?;
    let came: BTreeSet<String> = String::from_utf8_lossy(&came).lines().map(str::to_owned).collect();
    let commits: BTreeSet<Oid> = commits.iter().copied().filter(|oid| came.contains(&oid.0.to_string())).collect();
    for (n, commit) in commits.into_iter().enumerate() {
        if n == MOST {
            found.insert(commit, vec![Name::new("many files")]);
            break;
        }
        let args = ["diff-tree", "-r", "-z", "-m", "--root", "--no-commit-id", "--name-only", &commit.0.to_string()];
        let out = git.run(&args)?;
        let paths: BTreeSet<&[u8]> = out.split(|&byte| byte == 0).filter(|path| policy::is_executable_config(path)).collect();
        if !paths.is_empty() {
            found.insert(commit, paths.into_iter().map(Name::new).collect());
        }
    }
    Ok(found)
}

/// The names in a patch's own headers.
fn named(patch: &[u8]) -> Vec<Name> {
    let name = |line: &[u8]| {
        let rest = [&b"+++ b/"[..], b"+++ \"b/", b"rename to ", b"copy to "].iter().find_map(|head| line.strip_prefix(*head))?;
        let rest = rest.strip_suffix(b"\"").unwrap_or(rest);
        policy::is_executable_config(rest).then(|| Name::new(rest))
    };
    patch.split(|&byte| byte == b'\n').filter_map(|line| name(line.trim_ascii_end())).collect()
}
