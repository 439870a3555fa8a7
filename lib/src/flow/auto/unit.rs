//! The watcher as a service of the user's own: what `systemd --user` and launchd read. Text out; installs nothing.

use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Systemd,
    Launchd,
}

impl Kind {
    /// What this system has.
    pub fn here() -> Kind {
        if cfg!(target_os = "macos") { Kind::Launchd } else { Kind::Systemd }
    }
}

pub fn unit(kind: Kind, program: &Path) -> String {
    let program = program.display().to_string();
    match kind {
        Kind::Systemd => systemd(&program),
        Kind::Launchd => launchd(&program),
    }
}

fn systemd(program: &str) -> String {
    let quoted = program.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!(
        "# ~/.config/systemd/user/git-samesession.service
# systemctl --user enable --now git-samesession.service
[Unit]
Description=Checkpoints of coding agents' sessions (git samesession auto)
Documentation=man:git-samesession(1)

[Service]
ExecStart=\"{quoted}\" auto watch
# It ends by itself when nothing is watched any more.
Restart=on-failure
RestartSec=60
Nice=19
IOSchedulingClass=idle
CPUQuota=100%
UMask=0077

[Install]
WantedBy=default.target
"
    )
}

fn launchd(program: &str) -> String {
    let escaped = program.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- ~/Library/LaunchAgents/git-samesession.plist -->
<!-- launchctl bootstrap gui/$UID ~/Library/LaunchAgents/git-samesession.plist -->
<plist version=\"1.0\">
<dict>
  <key>Label</key><string>git-samesession</string>
  <key>ProgramArguments</key>
  <array><string>{escaped}</string><string>auto</string><string>watch</string></array>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
  <key>Nice</key><integer>19</integer>
  <key>LowPriorityIO</key><true/>
  <key>ProcessType</key><string>Background</string>
</dict>
</plist>
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        let path = Path::new("/opt/my \"100%\" $tools\\<&>/git-samesession");
        let line = "ExecStart=\"/opt/my \\\"100%%\\\" $$tools\\\\<&>/git-samesession\" auto watch\n";
        assert!(unit(Kind::Systemd, path).contains(line), "{}", unit(Kind::Systemd, path));
        let words = "<string>/opt/my \"100%\" $tools\\&lt;&amp;&gt;/git-samesession</string><string>auto</string>";
        assert!(unit(Kind::Launchd, path).contains(words), "{}", unit(Kind::Launchd, path));
    }
}
