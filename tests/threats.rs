//! The threat model in SECURITY.md names tests: each of them is there, and shows what it is named for as long as it passes.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a test of this name would stand: `a::b::test` in `tests/a/b.rs`, and `fuzzing::test` beside the readers.
fn place(name: &str) -> (PathBuf, &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (module, test) = name.rsplit_once("::").expect("a module and a test");
    match module {
        "fuzzing" => (root.join("lib/src/fuzzing/tests.rs"), test),
        _ => (root.join("tests").join(module.replace("::", "/")).with_extension("rs"), test),
    }
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).expect("a page");
    let model = text.split("## Who can do what").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a threat model");
    let named: Vec<&str> = model.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect();
    assert!(named.len() > 40, "{named:?}");
    for name in named {
        let (file, test) = place(name);
        let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {}: {error}", file.display()));
        let at = source.find(&format!("fn {test}()")).unwrap_or_else(|| panic!("{name} is not in {}", file.display()));
        assert!(source[..at].trim_end().ends_with("#[test]"), "{name} is no test");
        // Of one binary, so that it is run.
        let suite = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite.rs")).expect("the suite");
        let module = name.split("::").next().expect("a module");
        assert!(module == "fuzzing" || suite.contains(&format!("mod {module};")), "{name} is in no suite");
    }
    // Everybody who is spoken of is: each with what they can and what they cannot do.
    for part in model.split("\n### ").skip(1) {
        assert!(part.contains("| can |") && part.contains("| cannot |"), "{}", part.lines().next().unwrap_or_default());
    }
    assert_eq!(model.matches("\n### ").count(), 6);
}
