//! The safe crate calls every function of the library.

use std::path::Path;

/// Functions that the safe crate does without, and why. None today.
const WITHOUT: [(&str, &str); 0] = [];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The source code of the crate, without comments.
fn code() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut code = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        for line in read(&entry.unwrap().path()).lines() {
            code.push_str(line.split("//").next().unwrap());
            code.push('\n');
        }
    }
    code
}

fn uses(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| !code[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn every_function_is_called() {
    let bindings = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../nvfp4cal-sys/src/bindings.rs"));
    let functions: Vec<&str> = bindings.split("pub fn ").skip(1).map(|rest| rest.split('(').next().unwrap()).collect();
    assert!(functions.len() > 100, "{} functions found", functions.len());
    let code = code();
    for name in functions {
        match WITHOUT.iter().find(|(without, _)| *without == name) {
            Some((_, reason)) => assert!(!uses(&code, name), "{name} is called, and listed as: {reason}"),
            None => assert!(uses(&code, name), "the safe crate does not call {name}"),
        }
    }
}
