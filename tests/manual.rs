//! The man page says what the program does: each command, flag, exit status, error kind and JSON schema of one is in the
//! other, and back; and Git opens it for `git samesession --help`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;

use crate::support::agents::skipped;
use crate::support::sandbox::{CLAUDE_RICH, Sandbox};

#[path = "../git-samesession/cli.rs"]
#[allow(dead_code)]
mod cli;

/// What `.It` lines say of one command: flags with the names of their values, and arguments.
type Options = BTreeSet<String>;

#[test]
fn every_command_and_flag_is_in_the_page_and_back() {
    let page = Page::read("git-samesession.1");
    let mut program = BTreeMap::new();
    let tree = cli::Cli::command();
    commands(&tree, "", &mut program);
    let mut everywhere: Options = tree.get_arguments().map(spelt).collect();
    everywhere.extend(["-h --help", "-V --version"].map(str::to_owned));
    assert_eq!(page.options_of("Options of every command"), everywhere);
    let described: BTreeSet<&str> = page.within("COMMANDS").filter_map(|line| line.strip_prefix(".Ss ")).collect();
    assert_eq!(described, program.keys().map(String::as_str).collect());
    for (command, options) in &program {
        assert_eq!(page.options_of(command), *options, "{command}");
        assert!(page.within("SYNOPSIS").any(|line| line == format!(".Cm {command}")), "the synopsis lacks '{command}'");
    }

    let known = program.values().chain([&everywhere]).flatten().flat_map(|option| option.split(' ')).map(str::to_owned);
    let known: BTreeSet<String> = known.filter(|word| word.starts_with('-')).collect();
    for line in &page.lines {
        for flag in flags(line) {
            // `-fn` is `-f` and `-n`.
            let together = !flag.starts_with("--") && flag[1..].chars().all(|c| known.contains(&format!("-{c}")));
            assert!(together || known.contains(&flag), "there is no '{flag}': {line}");
        }
    }
}

#[test]
fn exit_status_and_error_kinds_are_those_of_the_code() {
    let code = fs::read_to_string(root().join("git-samesession/failure.rs")).expect("the code");
    let rows = code.lines().filter_map(|line| line.strip_prefix("//! | "));
    let table: BTreeMap<u8, &str> = rows
        .filter_map(|row| {
            let (exit, meaning) = row.split_once('|')?;
            Some((exit.trim().parse().ok()?, meaning.trim_end_matches('|').trim()))
        })
        .collect();
    let page = Page::read("git-samesession.1");
    let items = page.items("EXIT STATUS");
    assert_eq!(items.keys().cloned().collect::<BTreeSet<_>>(), table.keys().map(u8::to_string).collect());
    for (exit, meaning) in &table {
        let said = items[&exit.to_string()].to_lowercase();
        assert!(said.starts_with(&meaning.to_lowercase()), "{exit}: the code says '{meaning}', the page '{said}'");
    }

    let mut kinds: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for part in code.split("(\"").skip(1) {
        let pair = part.split_once("\", ").and_then(|(kind, rest)| Some((kind, rest.split_once(')')?.0.parse::<u8>().ok()?)));
        if let Some((kind, exit)) = pair {
            assert!(table.contains_key(&exit), "{exit} is not in the table");
            kinds.entry(exit.to_string()).or_default().insert(kind);
        }
    }
    // An interrupted program ends by the signal and prints no kind.
    kinds.remove("130");
    assert!(kinds.len() >= 4, "the kinds are found: {kinds:?}");
    for (exit, said) in &items {
        let listed = said.split_once("Error kind").and_then(|(_, list)| list.split_once("Li "));
        let listed: BTreeSet<&str> = listed.map_or_else(BTreeSet::new, |(_, list)| {
            list.split_whitespace().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')).collect()
        });
        assert_eq!(listed, kinds.get(exit).cloned().unwrap_or_default(), "{exit}");
    }
}

#[test]
fn every_schema_is_described() {
    let pages = ["git-samesession.1", "samesession-format.5"].map(|name| Page::read(name).lines.join("\n")).join("\n");
    let mut found = BTreeSet::new();
    for file in sources(&root().join("git-samesession")).into_iter().chain(sources(&root().join("lib/src"))) {
        let text = fs::read_to_string(&file).expect("the code");
        for part in text.split("\"samesession.").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            if name.split_once('/').is_some_and(|(_, version)| version.parse::<u32>().is_ok()) {
                found.insert(format!("samesession.{name}"));
            }
        }
    }
    assert!(found.len() >= 10, "{found:?}");
    let words: BTreeSet<&str> = pages.split_whitespace().collect();
    for schema in found {
        assert!(words.contains(schema.as_str()), "no page says what '{schema}' is");
    }
}

#[test]
fn the_pages_render_without_complaint() {
    let lint = |page: &str| Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(root().join("man").join(page)).output();
    for page in ["git-samesession.1", "git-remote-session.1", "samesession-format.5"] {
        match lint(page) {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(_) => return skipped("mandoc is not installed"),
        }
    }
}

#[test]
fn git_opens_the_page_for_help() {
    let sandbox = Sandbox::new();
    let manuals = sandbox.path().join("man");
    fs::create_dir_all(manuals.join("man1")).expect("made");
    fs::copy(root().join("man/git-samesession.1"), manuals.join("man1/git-samesession.1")).expect("copied");
    let machine = sandbox.machine("laptop").env("MANPATH", &manuals).env("MANPAGER", "cat").env("MANWIDTH", "80");
    let where_it_is = machine.command("man").args(["-w", "git-samesession"]).output();
    if !where_it_is.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("git-samesession.1")) {
        return skipped("there is no man here that finds pages");
    }
    let shown = machine.run(["--help"]).ok().stdout();
    assert!(shown.contains("GIT-SAMESESSION(1)") && shown.contains("SECURITY CONSIDERATIONS"), "{shown}");
}

/// The page's examples, typed one after the other where a capsule, its key and the id of its session are at hand.
#[test]
fn a_capsule_opens_by_hand_as_the_page_says() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init().with_claude();
    desktop.init();
    let capsule = laptop.seal(CLAUDE_RICH, &desktop);
    desktop.restore(&capsule, &laptop).ok();
    for tool in ["age", "zstd", "tar", "jq", "sha256sum", "ssh-keygen", "xxd", "base32"] {
        if desktop.command(tool).arg("--version").output().is_err() {
            return skipped(&format!("{tool} is not installed"));
        }
    }
    fs::copy(&capsule, desktop.cwd.join("work.capsule")).expect("copied");
    fs::copy(desktop.home.join(".config/samesession/device/identity.txt"), desktop.cwd.join("key.txt")).expect("copied");
    let page = Page::read("samesession-format.5");
    let mut script = format!("set -e\nnative_id={CLAUDE_RICH}\n");
    let mut inside = false;
    for line in page.within("EXAMPLES") {
        match line {
            ".Bd -literal -offset indent" => inside = true,
            ".Ed" => inside = false,
            line if inside => script += &format!("{}\n", line.strip_prefix("$ ").unwrap_or(line).replace("\\e", "\\")),
            _ => {}
        }
    }
    let output = desktop.command("sh").args(["-c", &script]).output().expect("a shell");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}\n{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.matches(": OK\n").count(), 6, "each file's hash: {printed}");
    assert_eq!(printed.matches("Good \"samesession\" signature").count(), 2, "{printed}");
    assert!(printed.contains("Good \"samesession\" signature for laptop"), "{printed}");
    let sid = desktop.json(["show", CLAUDE_RICH])["session"]["sid"].as_str().expect("a sid").to_owned();
    assert!(printed.ends_with(&format!("{sid}\n")), "{sid}: {printed}");
}

struct Page {
    lines: Vec<String>,
}

impl Page {
    fn read(name: &str) -> Page {
        let text = fs::read_to_string(root().join("man").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Page { lines: text.lines().map(|line| line.replace(r"\&", "")).collect() }
    }

    /// The lines of a section or subsection.
    fn within<'a>(&'a self, title: &'a str) -> impl Iterator<Item = &'a str> {
        let of = |line: &str| line.strip_prefix(".Sh ").or_else(|| line.strip_prefix(".Ss ")).map(str::to_owned);
        let after = self.lines.iter().skip_while(move |line| of(line).as_deref() != Some(title));
        let is_section = self.lines.iter().any(|line| line.strip_prefix(".Sh ") == Some(title));
        let ends = move |line: &str| line.starts_with(".Sh ") || (!is_section && line.starts_with(".Ss "));
        after.skip(1).take_while(move |line| !ends(line)).map(String::as_str)
    }

    fn options_of(&self, title: &str) -> Options {
        let described = self.within(title).filter_map(|line| line.strip_prefix(".It "));
        described.filter(|item| ["Fl ", "Ar "].iter().any(|start| item.starts_with(start))).map(said).collect()
    }

    /// What stands under each `.It` of a section, as text with macros.
    fn items(&self, title: &str) -> BTreeMap<String, String> {
        let mut items: BTreeMap<String, String> = BTreeMap::new();
        let mut open = None;
        for line in self.within(title) {
            if let Some(item) = line.strip_prefix(".It ") {
                open = Some(items.entry(item.to_owned()).or_default());
            } else if let (Some(text), false) = (&mut open, line == ".El") {
                text.push_str(line.strip_prefix('.').unwrap_or(line));
                text.push(' ');
            }
        }
        items
    }
}

/// `Fl o , Fl -output Ar FILE` as `-o --output FILE`.
fn said(item: &str) -> String {
    let mut words = Vec::new();
    let mut flag = false;
    for word in item.split_whitespace() {
        match word {
            "Fl" => flag = true,
            "Ar" | "," => flag = false,
            word if flag => words.push(format!("-{word}")),
            word => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

/// The flags that a line of macros names.
fn flags(line: &str) -> Vec<String> {
    let Some(macros) = line.strip_prefix('.') else { return Vec::new() };
    let words: Vec<&str> = macros.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "Fl").map(|pair| format!("-{}", pair[1])).collect()
}

fn commands(of: &clap::Command, before: &str, into: &mut BTreeMap<String, Options>) {
    for command in of.get_subcommands() {
        let name = format!("{before}{}", command.get_name());
        if command.has_subcommands() {
            commands(command, &format!("{name} "), into);
        } else {
            into.insert(name, command.get_arguments().filter(|argument| !argument.is_hide_set()).map(spelt).collect());
        }
    }
}

/// An option of the program in the form of `said`.
fn spelt(option: &clap::Arg) -> String {
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    let value = option.get_action().takes_values().then(|| match option.get_value_names() {
        Some(names) => names.join(" "),
        None => option.get_id().as_str().to_uppercase(),
    });
    [short, long, value].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|end| end == "rs"))
        .chain(dirs.iter().flat_map(|dir| sources(dir)))
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
