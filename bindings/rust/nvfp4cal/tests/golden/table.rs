//! What tests/golden/table.json says, and how a case is run by it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nvfp4cal::Context;
use serde_json::Value;

use crate::calls::call;
use crate::case::{read_json, Case, Family, Outputs, Try};
use crate::check::Check;

pub struct Table(Value);

/// How many entries differ from their expectation within its rule.
pub type Differing = BTreeMap<String, u64>;

#[derive(Default)]
pub struct Report {
    /// Empty: the case passes.
    pub failures: Vec<String>,
    /// Expectations that were compared.
    pub compared: usize,
    pub differing: Differing,
}

fn lists(names: &Value, name: &str) -> bool {
    names.as_array().is_some_and(|names| names.iter().any(|known| known == name))
}

fn keys(object: &Value) -> impl Iterator<Item = &String> {
    object.as_object().into_iter().flat_map(|object| object.keys())
}

impl Table {
    pub fn open() -> Try<Table> {
        Ok(Table(read_json(&golden_folder().join("table.json"))?))
    }

    pub fn families(&self) -> Vec<&String> {
        keys(&self.0["families"]).collect()
    }

    fn family(&self, one: &Case) -> Try<&Value> {
        let name = one.family.name()?;
        self.0["families"].get(name).ok_or_else(|| format!("family {name} is not known").into())
    }

    /// Of the case's rule, which may be another name of one.
    fn expectations(&self, one: &Case) -> Try<&Value> {
        let rules = &self.family(one)?["rules"];
        let rule = one.one["rule"].as_str().unwrap_or_default();
        match rules.get(rule) {
            Some(Value::String(other)) => Ok(&rules[other]),
            Some(rules) => Ok(rules),
            None => Err(format!("rule {rule} is not known").into()),
        }
    }

    /// What the table does not know of a case.
    fn unknown(&self, one: &Case) -> Try<Vec<String>> {
        let (known, expectations, stream) = (self.family(one)?, self.expectations(one)?, one.stream()?.len());
        let is_streamed = |key: &str| {
            let number = key.strip_prefix('x').and_then(|digits| digits.parse::<usize>().ok());
            lists(&known["inputs"], "x*") && number.is_some_and(|number| number < stream)
        };
        let mut out = Vec::new();
        let mut add = |kind: &str, object: &Value, is_known: &dyn Fn(&str) -> bool| {
            out.extend(keys(object).filter(|key| !is_known(key)).map(|key| format!("{kind} {key} is not known")));
        };
        add("key", one.one, &|key| lists(&self.0["case"], key));
        add("expectation", &one.one["expect"], &|key| expectations.get(key).is_some());
        add("param", &one.one["params"], &|key| lists(&known["params"], key) || lists(&self.0["notes"], key));
        add("input", &one.one["inputs"], &|key| (key != "x*" && lists(&known["inputs"], key)) || is_streamed(key));
        Ok(out)
    }

    /// Rules of the case's expectations: key, then what Check::apply takes.
    fn comparisons(&self, one: &Case) -> Try<Vec<(String, String)>> {
        let mut out = Vec::new();
        for (rules, present) in [(self.expectations(one)?, &one.one["expect"]), (&self.family(one)?["expect_params"], &one.one["params"])] {
            for key in keys(rules).filter(|key| present.get(key.as_str()).is_some()) {
                let texts = rules[key].as_array().into_iter().flatten().filter_map(Value::as_str);
                out.extend(texts.map(|text| (key.clone(), text.to_string())));
            }
        }
        Ok(out)
    }

    /// Calls the library under all settings and compares.
    pub fn run(&self, family: &Family, one: &Value, settings: &[(String, Context)]) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.run_into(&mut report, Case { family, one }, settings) {
            report.failures.push(error.to_string());
        }
        report
    }

    fn run_into(&self, report: &mut Report, one: Case, settings: &[(String, Context)]) -> Try<()> {
        report.failures = self.unknown(&one)?;
        let mut outputs: Option<Outputs> = None;
        for (name, context) in settings {
            let found = call(&one, context)?;
            // the same bits, shapes and dtypes
            if outputs.as_ref().is_some_and(|first| *first != found) {
                report.failures.push(format!("{name}: other outputs than with {}", settings[0].0));
            }
            outputs.get_or_insert(found);
        }
        let (outputs, mut compared) = (outputs.ok_or("no settings")?, BTreeSet::new());
        for (key, text) in self.comparisons(&one)? {
            let mut check = Check::new(one, &outputs, &key);
            check.apply(&text);
            report.failures.append(&mut check.failures);
            if check.differing > 0 {
                *report.differing.entry(key.clone()).or_default() += check.differing;
            }
            compared.insert(key);
        }
        report.failures.extend(
            keys(&one.one["expect"]).filter(|key| !compared.contains(*key)).map(|key| format!("expectation {key} was not compared")),
        );
        if compared.is_empty() {
            return Err("nothing was compared".into());
        }
        report.compared = compared.len();
        Ok(())
    }
}

/// Every CPU target of the machine with 1, 2 and 7 threads.
pub fn all_settings() -> Try<Vec<(String, Context)>> {
    let mut settings = Vec::new();
    for target in nvfp4cal::cpu_targets() {
        for threads in [1, 2, 7] {
            let mut context = Context::new();
            context.set_cpu_target(Some(target))?;
            context.set_threads(threads)?;
            settings.push((format!("{target}, {threads} threads"), context));
        }
    }
    Ok(settings)
}

pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/golden")
}

/// The folder whose cases are run: NVFP4CAL_GOLDEN_DIR, or the repository's.
pub fn cases_folder() -> PathBuf {
    match std::env::var_os("NVFP4CAL_GOLDEN_DIR") {
        Some(folder) if !folder.is_empty() => folder.into(),
        _ => golden_folder().join("data"),
    }
}

/// Its families, as paths without .json.
pub fn families_in(folder: &Path) -> Try<Vec<PathBuf>> {
    let mut stems = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "json") {
            stems.push(path.with_extension(""));
        }
    }
    stems.sort();
    if stems.is_empty() {
        Err(format!("{} has no golden cases", folder.display()).into())
    } else {
        Ok(stems)
    }
}
