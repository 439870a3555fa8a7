//! Lines and dialogues, with a remote that only notes what it was asked.

use super::*;

#[derive(Default)]
struct Noted {
    asked: Vec<String>,
}

impl Remote for Noted {
    type Error = Error;

    fn capabilities(&self) -> Vec<String> {
        vec!["fetch".to_owned(), "push".to_owned()]
    }

    fn option(&mut self, name: &str, value: &str) -> Answer {
        self.asked.push(format!("{name}={value}"));
        match name {
            "good" => Answer::Ok,
            "bad" => Answer::Error("two\nlines".to_owned()),
            _ => Answer::Unsupported,
        }
    }

    fn list(&mut self, for_push: bool) -> Result<Vec<String>, Error> {
        Ok(vec![format!("? refs/{for_push}")])
    }

    fn fetch(&mut self, wanted: &[Wanted]) -> Result<(), Error> {
        self.asked.push(wanted.iter().map(|wanted| wanted.name.clone()).collect::<Vec<_>>().join("+"));
        Ok(())
    }

    fn import(&mut self, names: &[String]) -> Result<(), Error> {
        self.asked.push(names.join("+"));
        if names.iter().any(|name| name == "broken") { Err(nonsense("broken")) } else { Ok(()) }
    }

    fn push(&mut self, pushes: &[Push]) -> Result<Vec<Pushed>, Error> {
        let of = |push: &Push| match push.to.as_str() {
            "good" => Some(Ok(())),
            "bad" => Some(Err("why \"not\"\nat all".to_owned())),
            _ => None,
        };
        Ok(pushes.iter().filter_map(|push| Some(Pushed { to: push.to.clone(), verdict: of(push)? })).collect())
    }
}

/// What is answered, and what was asked of the remote.
fn talk(said: &str) -> (Result<String, String>, Vec<String>) {
    let (mut remote, mut out) = (Noted::default(), Vec::new());
    let served = serve(&mut remote, &mut said.as_bytes(), &mut out);
    let out = String::from_utf8(out).expect("UTF-8");
    (served.map(|()| out).map_err(|error| error.to_string()), remote.asked)
}

#[test]
fn a_dialogue_is_answered_line_by_line() {
    let id = "a".repeat(40);
    for (said, answered) in [
        ("", ""),
        ("\nlist\n", ""),
        ("capabilities\n\n", "option\nfetch\npush\n\n"),
        ("list\nlist for-push\n", "? refs/false\n\n? refs/true\n\n"),
        ("option good x\noption bad x\noption other x y\n", "ok\nerror two lines\nunsupported\n"),
        (&format!("fetch {id} refs/a\nfetch {id} refs/a\n\nfetch {id} HEAD\n\n\n"), "\n\n"),
        ("import refs/a\n\noption good 1\nimport refs/b\n\n", "feature done\ndone\nok\nfeature done\ndone\n"),
        (
            "push a:good\npush +:bad\npush x:other\n\n",
            "ok good\nerror bad \"why \\\"not\\\"\\nat all\"\nerror other nothing is known of it\n\n",
        ),
    ] {
        assert_eq!(talk(said).0.as_deref(), Ok(answered), "{said}");
    }
}

#[test]
fn nothing_is_done_of_a_batch_that_ends_in_the_middle_and_nothing_is_answered_of_one_that_fails() {
    let id = "a".repeat(40);
    for said in
        [format!("fetch {id} refs/a\n"), "import refs/a\n".to_owned(), "push a:good\n".to_owned(), "import a\npush a:b\n\n".to_owned()]
    {
        let (answered, asked) = talk(&said);
        assert!(answered.is_err() && asked.is_empty(), "{said}: {asked:?}");
    }
    let (mut remote, mut out) = (Noted::default(), Vec::new());
    assert!(serve(&mut remote, &mut &b"import broken\n\n"[..], &mut out).is_err());
    assert_eq!(out, b"");
}

#[test]
fn lines_are_what_they_say_or_nothing() {
    let option = |name: &str, value: &str| Line::Option { name: name.to_owned(), value: value.to_owned() };
    let push = |force, from: Option<&str>, to: &str| Line::Push(Push { force, from: from.map(str::to_owned), to: to.to_owned() });
    for (line, is) in [
        ("option cas refs/x:00", option("cas", "refs/x:00")),
        ("option push-option a b", option("push-option", "a b")),
        (r#"option push-option "a b=\"c\" \303\244\n\\""#, option("push-option", "a b=\"c\" ä\n\\")),
        ("option x ", option("x", "")),
        ("option object-format", option("object-format", "")),
        ("push HEAD:refs/x", push(false, Some("HEAD"), "refs/x")),
        ("push +a:b", push(true, Some("a"), "b")),
        ("push :b", push(false, None, "b")),
        ("push +:b", push(true, None, "b")),
    ] {
        assert_eq!(parse(line), Some(is), "{line}");
    }
    let id = "a".repeat(40);
    for line in [
        " ",
        "capabilities x",
        "list all",
        "option",
        "option ",
        "option  x",
        "fetch refs/x",
        "fetch",
        "fetch abc refs/x",
        &format!("fetch {id}"),
        &format!("fetch {id} "),
        &format!("fetch {id} a b"),
        &format!("fetch {} refs/x", "g".repeat(40)),
        "import",
        "import a b",
        "push",
        "push a",
        "push a:",
        "push a:b:c",
        "push a b:c",
        "connect git-upload-pack",
        "Capabilities",
        "option x \"unfinished",
        r#"option x "\9""#,
        r#"option x "\400""#,
        r#"option x "\377""#,
        r#"option x "a"b""#,
    ] {
        assert_eq!(parse(line), None, "{line}");
    }
}

#[test]
fn what_is_quoted_is_read_as_it_was() {
    for text in ["plain", "", "\"", "a\"b", "a\\b", "two\nlines\t\u{1b}[2J", "ä", "\"ä\u{7f}"] {
        let quoted = quoted(text);
        assert!(!quoted.contains(|c: char| c.is_control()), "{quoted}");
        assert_eq!(unquoted(&quoted).as_deref(), Some(text), "{quoted}");
    }
}

/// Whatever comes, it ends with an answer or an error, and what is answered is whole lines.
#[test]
fn no_input_confuses_it() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    let words: Vec<String> = [
        "capabilities",
        "list",
        "list for-push",
        "option",
        "verbosity",
        "cas",
        "fetch",
        "import",
        "push",
        "+",
        ":",
        " ",
        "\n",
        "\n",
        "\n\n",
        "\"",
        "\\",
        "\\1",
        "\r",
        "\0",
        "\u{feff}",
        "ä",
        "refs/samesession/sessions/x",
        id,
        "HEAD",
        "-x",
        "^{}",
        "..",
    ]
    .map(str::to_owned)
    .into();
    let mut state = 88_172_645_463_325_252u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    for _ in 0..20_000 {
        let mut said = Vec::new();
        for _ in 0..next(24) {
            match next(12) {
                0 => said.push(u8::try_from(next(256)).expect("a byte")),
                1 => said.push(b' '),
                _ => said.extend_from_slice(words[next(words.len())].as_bytes()),
            }
        }
        let (mut remote, mut out) = (Noted::default(), Vec::new());
        let served = serve(&mut remote, &mut &said[..], &mut out);
        let out = String::from_utf8(out).expect("UTF-8");
        assert!(out.is_empty() || out.ends_with('\n'), "{:?}", String::from_utf8_lossy(&said));
        assert!(served.is_ok() || said.iter().any(|byte| *byte != b'\n'), "{:?}", String::from_utf8_lossy(&said));
    }
    let endless = "x".repeat(LINE * 2);
    assert!(talk(&endless).0.is_err());
}

#[path = "../../lib/src/fuzzing/mutate.rs"]
mod mutate;

#[test]
fn whatever_is_said_is_answered_or_refused_and_no_answer_is_torn() {
    let id = "a".repeat(40);
    let dialogue = format!(
        "capabilities\noption verbosity 1\noption good \"a\\tb\\303\\251\"\nlist\nlist for-push\nfetch {id} refs/x\nfetch {id} refs/y\n\n\
         import refs/x\n\npush +refs/x:good\npush :bad\npush a:neither\n\n\n"
    );
    let seeds = [dialogue.into_bytes(), b"option bad x\nlist\n".to_vec(), format!("fetch {id} {}\n\n", "x".repeat(70_000)).into_bytes()];
    let cases = std::env::var("SAMESESSION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000);
    for case in 0..cases {
        let said = mutate::mutate(&mut mutate::Random::new(case), &seeds, 1 << 20);
        let (mut remote, mut out) = (Noted::default(), Vec::new());
        let served = serve(&mut remote, &mut &said[..], &mut out);
        assert!(out.is_empty() || out.ends_with(b"\n"), "case {case}: {}", out.escape_ascii());
        assert!(served.is_ok() || out.len() < said.len() * 4 + 1000, "case {case}");
    }
}
