//! The functions of bindings.rs are those of the header and of the symbol map, and the library that was linked is of this release.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::path::PathBuf;

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names that begin with `nvfp4cal_` and for which `keep(text before, text behind)` holds.
fn names(text: &str, keep: impl Fn(&str, &str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices("nvfp4cal_") {
        let end = text[start..].find(|c: char| !c.is_alphanumeric() && c != '_').map_or(text.len(), |n| start + n);
        if keep(&text[..start], &text[end..]) {
            found.insert(text[start..end].to_string());
        }
    }
    found
}

/// The C code without comments and preprocessor lines.
fn code_of(header: &str) -> String {
    let mut code = String::new();
    let mut rest = header;
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        rest = rest[start..].split_once("*/").map_or("", |(_, behind)| behind);
    }
    code.push_str(rest);
    code.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn header_functions() -> BTreeSet<String> {
    code_of(&read("include/nvfp4cal.h"))
        .split(';')
        .filter(|statement| statement.contains("NVFP4CAL_API"))
        .flat_map(|statement| names(statement, |_, behind| behind.starts_with('(')))
        .collect()
}

fn binding_functions() -> BTreeSet<String> {
    names(&read("bindings/rust/nvfp4cal-sys/src/bindings.rs"), |before, _| before.ends_with("pub fn "))
}

#[test]
fn bindings_have_the_functions_of_the_header() {
    let header = header_functions();
    assert!(header.len() > 100, "{} functions found in the header", header.len());
    assert_eq!(binding_functions(), header, "run scripts/rust_bindings.sh");
}

#[test]
fn bindings_have_the_functions_of_the_symbol_map() {
    let map = names(&read("src/nvfp4cal.map"), |_, behind| behind.starts_with(';'));
    assert_eq!(binding_functions(), map);
}

#[test]
fn bindings_have_the_constants_of_the_header() {
    let header = read("include/nvfp4cal.h");
    let bindings = read("bindings/rust/nvfp4cal-sys/src/bindings.rs");
    for line in header.lines().filter_map(|line| line.strip_prefix("#define NVFP4CAL_")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "H" && !name.starts_with("API") {
            assert!(bindings.contains(&format!("pub const NVFP4CAL_{name}: ")), "NVFP4CAL_{name} is missing");
        }
    }
}

#[test]
fn the_library_is_of_this_release() {
    let version = unsafe { CStr::from_ptr(nvfp4cal_sys::nvfp4cal_version()) };
    assert_eq!(version.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
    assert_eq!(unsafe { nvfp4cal_sys::nvfp4cal_version_number() }, nvfp4cal_sys::NVFP4CAL_VERSION_NUMBER);
}

/// The number behind `label` in the assertions that bindgen makes: `["label"][... - 160usize]`.
fn asserted(bindings: &str, label: &str) -> usize {
    let (_, behind) = bindings.split_once(&format!("\"{label}\"")).unwrap_or_else(|| panic!("no assertion {label}"));
    let (number, _) = behind.split_once("usize];").unwrap();
    number.rsplit(' ').next().unwrap().parse().unwrap()
}

/// `struct_size 0 u32, shape 32 i64[8]`: a name and its offset in each part.
#[test]
fn the_layouts_in_the_documentation_are_true() {
    let bindings = read("bindings/rust/nvfp4cal-sys/src/bindings.rs");
    let page = read("docs/any_language.md");
    let mut fields = 0;
    for row in page.lines().filter(|line| line.starts_with("| `nvfp4cal_")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        assert_eq!(cells[2].parse(), Ok(asserted(&bindings, &format!("Size of {name}"))), "{name}");
        for field in cells[3].split(", ").filter(|part| !part.starts_with("all ")) {
            let (field, rest) = field.split_once(' ').unwrap();
            let offset = rest.split(' ').next().unwrap();
            assert_eq!(offset.parse(), Ok(asserted(&bindings, &format!("Offset of field: {name}::{field}"))), "{name}::{field}");
            fields += 1;
        }
    }
    assert_eq!(fields, bindings.matches("\"Offset of field: ").count());
}
