//! `.git/info/exclude`: the line that keeps a settings file of this machine out of 'git status', and out of capsules.

const ABOVE: &str = "# git samesession: hooks of an agent on this machine";

/// With a line for this file, named from the top of the work tree.
pub fn with(text: &str, file: &str) -> String {
    if text.contains(&lines(file)) {
        return text.to_owned();
    }
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{newline}{}", lines(file))
}

pub fn without(text: &str, file: &str) -> String {
    text.replace(&lines(file), "")
}

fn lines(file: &str) -> String {
    format!("{ABOVE}\n/{file}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_and_goes() {
        for text in ["", "# comment\n*.o\n"] {
            let more = with(text, ".claude/settings.local.json");
            assert_eq!(with(&more, ".claude/settings.local.json"), more);
            assert_eq!(without(&more, ".codex/hooks.json"), more);
            assert_eq!(without(&more, ".claude/settings.local.json"), text);
        }
    }
}
