//! The golden cases that drive the runners of all languages: tests/golden/README.md says what a runner does, table.json how each expectation is
//! compared. `NVFP4CAL_GOLDEN_DIR` names another folder of such cases.

mod calls;
mod calls_casts;
mod calls_observers;
mod case;
mod check;
mod formats;
mod rules;
mod rules_blocks;
mod rules_calibrators;
mod rules_observers;
mod rules_search;
mod table;

use std::collections::BTreeSet;

use case::{Array, Family};
use safetensors::tensor::Dtype;
use serde_json::{json, Value};
use table::{all_settings, cases_folder, families_in, golden_folder, Differing, Table};

/// What the repository's own cases give, beyond their rules: that many cases, and no entry differs but where a peer's package is known to be worse
/// or to write other bytes for a block of zeros, and where ADMM betters the optimal scale.
fn known(family: &str) -> (usize, Differing) {
    let (cases, differing): (usize, &[(&str, u64)]) = match family {
        "act_max" => (18, &[]),
        "casts" => (3, &[]),
        "mse_calibrator" => (20, &[]),
        "nvfp4_hessian" => (8, &[("codes_f64_roundtrip_scale", 4), ("codes_peer", 4)]),
        "nvfp4_mse" => (19, &[("codes_peer", 566)]),
        "observers" => (63, &[]),
        "pack" => (4, &[("ct_scale", 43), ("sweep_scale", 4)]),
        "qwantize" => (16, &[("admm_error_f64", 18)]),
        other => panic!("family {other} has no known numbers"),
    };
    (cases, differing.iter().map(|(key, count)| (key.to_string(), *count)).collect())
}

#[test]
fn golden_cases_on_every_target_and_thread_count() {
    let (table, settings) = (Table::open().unwrap(), all_settings().unwrap());
    let own = cases_folder().canonicalize().unwrap() == golden_folder().join("data").canonicalize().unwrap();
    let (mut failures, mut names) = (Vec::new(), Vec::new());
    for stem in families_in(&cases_folder()).unwrap() {
        let begin = std::time::Instant::now();
        let family = Family::open(&stem).unwrap();
        let name = family.name().unwrap().to_string();
        let (mut differing, mut run, mut compared) = (Differing::new(), 0, 0);
        for one in family.cases() {
            let report = table.run(&family, one, &settings);
            failures.extend(report.failures.iter().map(|failure| format!("{name} {}: {failure}", one["name"])));
            run += usize::from(report.compared > 0);
            compared += report.compared;
            for (key, count) in report.differing {
                *differing.entry(key).or_default() += count;
            }
        }
        let seconds = begin.elapsed().as_secs_f32();
        println!("golden {name}: {run} cases under {} settings, {compared} expectations compared, {seconds:.1} s", settings.len());
        assert!(run > 0 && run == family.cases().len(), "{name}");
        if own {
            assert_eq!((run, differing), known(&name), "{name}");
        }
        names.push(name);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    if own {
        assert_eq!(names.iter().collect::<Vec<_>>(), table.families());
    }
}

/// Calls visit(family, one) with the first case of each rule and set of expectations.
fn for_each_kind(mut visit: impl FnMut(&Family, &Value)) {
    for stem in families_in(&golden_folder().join("data")).unwrap() {
        let (family, mut seen) = (Family::open(&stem).unwrap(), BTreeSet::new());
        for one in family.cases() {
            let expectations: Vec<&String> = one["expect"].as_object().unwrap().keys().collect();
            if seen.insert(format!("{} {expectations:?}", one["rule"])) {
                visit(&family, one);
            }
        }
    }
}

/// Other values, of codes other codes.
fn spoiled(array: &Array) -> Array {
    let shape = &array.shape;
    match array.dtype {
        Dtype::F32 => Array::new(shape, &array.values::<f32>().unwrap().iter().map(|v| v * 1.5 + 0.01).collect::<Vec<_>>()),
        Dtype::F64 => Array::new(shape, &array.values::<f64>().unwrap().iter().map(|v| v * 1.5 + 0.01).collect::<Vec<_>>()),
        Dtype::I64 => Array::new(shape, &array.values::<i64>().unwrap().iter().map(|v| v + 1).collect::<Vec<_>>()),
        _ => Array { bytes: array.bytes.iter().map(|v| v % 126 + 1).collect(), ..array.clone() },
    }
}

#[test]
fn golden_expectations_are_all_compared() {
    let (table, settings) = (Table::open().unwrap(), &all_settings().unwrap()[..1]);
    let mut expectations = 0;
    for_each_kind(|family, one| {
        let good = table.run(family, one, settings);
        assert!(good.failures.is_empty(), "{:?}", good.failures);
        for (key, name) in one["expect"].as_object().unwrap() {
            let (mut other, name) = (family.clone(), name.as_str().unwrap());
            let whole = family.tensors[name].clone();
            other.tensors.insert(name.to_string(), spoiled(&whole));
            let bad = table.run(&other, one, settings);
            // a peer's range or codes may be worse than ours: that shows in the count alone
            assert!(!bad.failures.is_empty() || bad.differing != good.differing, "{} {key}", one["name"]);
            let size = whole.bytes.len() / whole.len();
            let cut = Array { shape: vec![whole.len() - 1], bytes: whole.bytes[size..].to_vec(), ..whole };
            other.tensors.insert(name.to_string(), cut);
            assert!(!table.run(&other, one, settings).failures.is_empty(), "{} {key} cut", one["name"]);
            expectations += 1;
        }
    });
    assert!(expectations >= 60, "{expectations}");
}

#[test]
fn golden_cases_that_the_table_does_not_know_fail() {
    let (table, settings) = (Table::open().unwrap(), &all_settings().unwrap()[..1]);
    for_each_kind(|family, one| {
        let fails = |change: &dyn Fn(&mut Value), text: &str| {
            let mut other = one.clone();
            change(&mut other);
            let failures = table.run(family, &other, settings).failures;
            assert!(failures.iter().any(|failure| failure.contains(text)), "{} {text}: {failures:?}", one["name"]);
        };
        for kind in ["params", "inputs", "expect"] {
            fails(&|other| other[kind]["unheard_of"] = json!("unheard_of"), "unheard_of is not known");
        }
        fails(&|other| other["unheard_of"] = json!(1), "key unheard_of is not known");
        fails(&|other| other["rule"] = json!("unheard_of"), "rule unheard_of is not known");
        fails(&|other| other["inputs"]["x9"] = json!("unheard_of"), "input x9 is not known");
        let first = one["expect"].as_object().unwrap().keys().next().unwrap();
        fails(&|other| other["expect"][first] = json!("unheard_of"), "no tensor unheard_of");
        fails(&|other| (other["expect"], other["params"]["fake_quant_mse"]) = (json!({}), json!(null)), "");
    });
}
