//! Sessions made by other versions of the agents, brought here by our program and gone on with by the installed ones.

use crate::scene::{CLAUDE, CODEX, Computer, Kind, World};
use crate::support::sandbox::{copy_tree, fixture};

struct Known {
    kind: Kind,
    id: &'static str,
    word: &'static str,
    /// What was said before a compaction is not.
    sent: bool,
}

const fn known(kind: Kind, id: &'static str, word: &'static str, sent: bool) -> Known {
    Known { kind, id, word, sent }
}

#[test]
fn sessions_of_other_versions_of_claude_go_on() {
    go_on(&[
        known(CLAUDE, "aaaaaaaa-0001-4000-8000-000000000001", "QUOKKA-7731", true),
        known(CLAUDE, "aaaaaaaa-0002-4000-8000-000000000002", "OKAPI-5502", true),
        known(CLAUDE, "aaaaaaaa-0003-4000-8000-000000000003", "NUMBAT-3303", false),
        known(CLAUDE, "aaaaaaaa-0004-4000-8000-000000000004", "PANGOLIN-3290", true),
    ]);
}

#[test]
fn sessions_of_codex_from_another_home_go_on() {
    go_on(&[
        known(CODEX, "01a1fc46-14ce-7500-867f-3e8961b3c90d", "WOMBAT-4410", true),
        known(CODEX, "01a1fc46-1703-74c0-b4b3-1800beaf2b0d", "WOMBAT-4410", true),
        known(CODEX, "01a1fc46-17d2-7db1-85d8-70b618da79e2", "BILBY-9009", true),
        known(CODEX, "01a1fc46-1817-7333-8561-8ed0b99f8862", "SUB-TASK", true),
        known(CODEX, "01a1fc46-a6a6-7301-b0ad-996ca49d9840", "DINGO-1212", true),
    ]);
}

fn go_on(sessions: &[Known]) {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    settle_in(&laptop);
    for Known { kind, id, word, sent } in sessions {
        let answer = desktop.take(id, &laptop);
        assert_eq!(answer["reached"], "discoverable", "{answer:#}");
        let left = desktop.bytes(*kind, id);
        world.server.forget();
        let reply = (kind.say)(&desktop.ctx, Some(id), "Still there?").ok();
        assert_eq!(reply.id(), *id);
        let talk = world.last_talk_of(id);
        assert_eq!((talk.says(word), talk.says("Still there?")), (*sent, true), "{id}");
        assert!(desktop.bytes(*kind, id).starts_with(&left), "{id}");
    }
}

/// As if all of them had been made on this computer, in directories that are no longer there.
fn settle_in(computer: &Computer) {
    for version in ["claude-2.1.197/.claude", "claude-2.1.329/.claude"] {
        for part in ["projects", "file-history"].map(|part| fixture(version).join(part)).iter().filter(|part| part.is_dir()) {
            copy_tree(part, &computer.dir(CLAUDE).join(part.file_name().expect("it has a name")));
        }
    }
    copy_tree(&fixture("codex-0.169.0/.codex/sessions"), &computer.dir(CODEX).join("sessions"));
}
