//! A program at a terminal: tmux plays the terminal, and a test types and reads the screen.
//!
//! Knows nothing of any agent. Each terminal is a tmux server of its own, with its own socket and without the user's
//! configuration, so that tests run side by side; dropping it ends the server and everything in it.
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{self, MARK};

pub struct Terminal {
    /// Holds the socket.
    folder: TempDir,
    mark: String,
}

impl Terminal {
    /// Starts the command in a new terminal. Whoever has asked for the agents' tests gets all of them: no tmux is a failure.
    #[track_caller]
    pub fn open(command: &Command) -> Terminal {
        let version = Command::new("tmux").arg("-V").output();
        assert!(version.is_ok(), "tmux, which plays the terminal, is not installed");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-tty-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let terminal = Terminal { folder, mark };
        let mut start = terminal.tmux(&["new-session", "-d", "-x", "160", "-y", "50"]);
        if let Some(cwd) = command.get_current_dir() {
            start.arg("-c").arg(cwd);
        }
        // tmux hands its own environment down; `env -i` gives the program exactly the one it was meant to have.
        start.args(["--", "env", "-i"]).arg(format!("{MARK}={}", terminal.mark));
        for (name, value) in command.get_envs() {
            let mut pair = OsString::from(name);
            pair.push("=");
            pair.push(value.unwrap_or_default());
            start.arg(pair);
        }
        start.arg(command.get_program()).args(command.get_args());
        // In the same breath, or a program that ends at once would take its last words along.
        start.args([";", "set-option", "remain-on-exit", "on"]);
        succeed(&mut start);
        terminal
    }

    /// The text now on the screen, or last on it if the program has ended.
    pub fn screen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p"]).output().expect("tmux can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a prompt, short enough for one line of the screen, and sends it off.
    #[track_caller]
    pub fn say(&self, prompt: &str) {
        self.write(prompt);
        self.wait_for(prompt);
        // Keys that follow each other this fast are a paste to Codex, and a return within a paste sends nothing.
        thread::sleep(Duration::from_millis(300));
        self.press("Enter");
    }

    /// Types the text, as it is.
    pub fn write(&self, text: &str) {
        succeed(&mut self.tmux(&["send-keys", "-l", "--", text]));
    }

    /// Presses a key, by tmux's name for it: `Enter`, `Escape`, `C-c`.
    pub fn press(&self, key: &str) {
        succeed(&mut self.tmux(&["send-keys", key]));
    }

    /// Until the text is on the screen.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.screen().contains(text) {
            let screen = self.screen();
            assert!(start.elapsed() < Duration::from_secs(30), "{text:?} never came on the screen:\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the program has ended.
    pub fn is_closed(&self) -> bool {
        let dead = self.tmux(&["display-message", "-p", "#{pane_dead}"]).output().expect("tmux can be started");
        dead.stdout.starts_with(b"1")
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let socket: PathBuf = self.folder.path().join("tmux");
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").env(MARK, &self.mark);
        command.arg("-S").arg(socket).args(["-f", "/dev/null"]).args(args);
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
        process::kill_marked(&self.mark);
    }
}

#[track_caller]
fn succeed(command: &mut Command) {
    let Output { status, stderr, .. } = command.output().expect("tmux can be started");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
}
