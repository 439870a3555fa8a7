//! A Git hook that is a script: our lines put into one that is there, or a script of our own.
//!
//! In a shell script our lines come first and start the script once more, so that all of it runs, under its own name and with
//! its own input, before anything of ours does, and its exit code is the hook's. What is not such a script is moved aside and
//! called by one of ours.

use super::PROGRAM;

const BEGIN: &str = "# >>> git samesession: 'git samesession hook uninstall' takes these lines out again";
const END: &str = "# <<< git samesession";

/// The directory beside a hook in which one stands that had to make way. It keeps its name: hooks look at that.
pub const ASIDE: &str = "before-samesession";

/// What a hook file is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing of it is ours.
    Theirs,
    /// It has our lines and others.
    Shared,
    /// It has our lines and nothing else.
    Ours,
}

/// What our lines do.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub hook: &'a str,
    /// It serves all of the user's repositories.
    pub global: bool,
    /// Unless one of these is set nothing of ours is started, our program least of all; without any it always is.
    pub only_with: &'a [&'a str],
}

pub fn kind(text: &[u8]) -> Kind {
    match without(text) {
        None => Kind::Theirs,
        Some(rest) if is_empty_script(&rest) => Kind::Ours,
        Some(_) => Kind::Shared,
    }
}

/// A hook that does only our work.
pub fn own(call: &Call<'_>) -> String {
    format!("#!/bin/sh\n{}", block(&[&format!("if {}; then", call.condition("")), &format!("\t{}", call.line()), "fi"]))
}

/// A hook that first calls the one that made way for it. That one is called only if Git would have called it.
pub fn calling_aside(call: &Call<'_>) -> String {
    let before = format!("before=\"$(dirname \"$0\")/{ASIDE}/{}\"", call.hook);
    let lines = [
        before.as_str(),
        "if test -x \"$before\"; then",
        "\t\"$before\" \"$@\" || exit $?",
        "fi",
        &format!("if {}; then", call.condition("")),
        &format!("\t{}", call.line()),
        "fi",
    ];
    format!("#!/bin/sh\n{}", block(&lines))
}

/// A shell script with our lines in it; `None` if it is no script that they can stand in.
pub fn with(text: &[u8], call: &Call<'_>) -> Option<Vec<u8>> {
    let end = text.iter().position(|&byte| byte == b'\n')? + 1;
    let first = std::str::from_utf8(&text[..end]).ok()?;
    if !is_shell(first) {
        return None;
    }
    let lines = [
        &format!("if {}; then", call.condition("test -z \"${SAMESESSION_CHAINED-}\" && test -x \"$0\" && ")),
        "\tSAMESESSION_CHAINED=1 \"$0\" \"$@\" || exit $?",
        &format!("\t{}", call.line()),
        "\texit 0",
        "fi",
        "unset SAMESESSION_CHAINED",
    ];
    Some([&text[..end], block(&lines).as_bytes(), &text[end..]].concat())
}

/// A script without our lines, if it has them.
pub fn without(text: &[u8]) -> Option<Vec<u8>> {
    let begin = find(text, format!("{BEGIN}\n").as_bytes())?;
    let end_line = format!("{END}\n");
    let end = begin + find(&text[begin..], end_line.as_bytes())? + end_line.len();
    Some([&text[..begin], &text[end..]].concat())
}

impl Call<'_> {
    fn line(&self) -> String {
        let (global, hook) = (if self.global { "--global " } else { "" }, self.hook);
        // Only where it says so itself, in strict mode, does it stop anything: an older program fails otherwise.
        format!("{PROGRAM} hook run {global}{hook} \"$@\" </dev/null || test $? -ne 1 || exit 1")
    }

    fn condition(&self, and: &str) -> String {
        let set = any_set(self.only_with).map(|test| format!("{test} && ")).unwrap_or_default();
        format!("{set}{and}command -v {PROGRAM} >/dev/null 2>&1")
    }
}

/// Whether one of these variables is set, for a shell; `None` if there are none.
pub fn any_set(variables: &[&str]) -> Option<String> {
    let all: String = variables.iter().map(|name| format!("${{{name}-}}")).collect();
    (!variables.is_empty()).then(|| format!("test -n \"{all}\""))
}

fn block(lines: &[&str]) -> String {
    format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
}

fn is_empty_script(text: &[u8]) -> bool {
    text == b"#!/bin/sh\n"
}

/// `#!/bin/sh`, `#!/usr/bin/env bash`, with options or without.
fn is_shell(first: &str) -> bool {
    let Some(interpreter) = first.strip_prefix("#!") else { return false };
    let mut words = interpreter.split_whitespace().filter(|word| !word.starts_with('-'));
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let program = match words.next().map(name) {
        Some(env) if env == "env" => words.next().map(name),
        program => program,
    };
    program.is_some_and(|program| ["sh", "bash", "dash", "ksh", "mksh", "zsh", "ash"].contains(&program.as_str()))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call { hook: "post-commit", global: false, only_with: &["A", "B"] };

    #[test]
    fn what_was_put_in_comes_out_again_byte_for_byte() {
        for text in [
            "#!/bin/sh\n",
            "#!/bin/sh\necho hello\nexit 0",
            "#!/usr/bin/env bash\n# comment\nset -euo pipefail\nexec lefthook run pre-push \"$@\"\n",
            "#! /bin/zsh -f\r\nprint x\r\n",
            "#!/usr/bin/env -S bash -e\n\n\n",
        ] {
            let with = with(text.as_bytes(), &CALL).unwrap_or_else(|| panic!("{text}"));
            assert_ne!(kind(&with), Kind::Theirs, "{text}");
            assert_eq!(without(&with).as_deref(), Some(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn lines_go_into_shell_scripts_only() {
        for text in ["#!/usr/bin/env python3\nprint()\n", "#!/usr/bin/env fish\n", "\x7fELF\n", "echo no shebang\n", "#!/bin/sh", ""] {
            assert_eq!(with(text.as_bytes(), &CALL), None, "{text}");
            assert_eq!((kind(text.as_bytes()), without(text.as_bytes())), (Kind::Theirs, None), "{text}");
        }
    }

    #[test]
    fn a_script_of_our_own_is_known_as_such_until_somebody_writes_in_it() {
        for text in [own(&CALL), calling_aside(&CALL)] {
            assert_eq!(kind(text.as_bytes()), Kind::Ours);
            assert_eq!(kind(format!("{text}echo more\n").as_bytes()), Kind::Shared);
        }
    }
}
