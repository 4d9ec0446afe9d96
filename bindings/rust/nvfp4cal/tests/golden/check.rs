//! How outputs are compared with expectations: one rule applied to one expectation of a case (tests/golden/README.md, "Rules").

use crate::case::{Array, Case, Outputs, Try};
use crate::{rules, rules_blocks, rules_calibrators, rules_observers, rules_search};

pub struct Check<'a> {
    pub one: Case<'a>,
    outputs: &'a Outputs,
    key: &'a str,
    rule: String,
    arguments: Vec<String>,
    pub failures: Vec<String>,
    /// Entries that differ from the expectation as the rule allows.
    pub differing: u64,
}

pub type Rule = fn(&mut Check) -> Try<()>;

const RULES: [&[(&str, Rule)]; 5] =
    [&rules::RULES, &rules_search::RULES, &rules_calibrators::RULES, &rules_observers::RULES, &rules_blocks::RULES];

impl<'a> Check<'a> {
    pub fn new(one: Case<'a>, outputs: &'a Outputs, key: &'a str) -> Self {
        Check { one, outputs, key, rule: String::new(), arguments: vec![], failures: vec![], differing: 0 }
    }

    /// `text` is a rule's name and its arguments, "relative losses 1e-9".
    pub fn apply(&mut self, text: &str) {
        let mut words = text.split_whitespace().map(str::to_string);
        self.rule = words.next().unwrap_or_default();
        self.arguments = words.collect();
        let found = RULES.iter().flat_map(|rules| rules.iter()).find(|(name, _)| *name == self.rule);
        let result = found.map_or(Err("no such rule".into()), |(_, rule)| rule(self));
        if let Err(error) = result {
            self.fail(error.to_string());
        }
    }

    pub fn fail(&mut self, message: impl std::fmt::Display) {
        self.failures.push(format!("{}: {}: {message}", self.key, self.rule));
    }

    pub fn expected(&self) -> Try<&'a Array> {
        self.one.expected(self.key)
    }

    pub fn output(&self, name: &str) -> Try<&'a Array> {
        self.outputs.get(name).ok_or_else(|| format!("no output {name}").into())
    }

    pub fn has_argument(&self, i: usize) -> bool {
        i < self.arguments.len()
    }

    pub fn argument(&self, i: usize) -> Try<&str> {
        Ok(self.arguments.get(i).ok_or_else(|| format!("no argument {i}"))?)
    }

    pub fn number(&self, i: usize) -> Try<f64> {
        Ok(self.argument(i)?.parse()?)
    }

    /// The output that argument i names; its elements and shape must be those of the expectation.
    pub fn compared(&self, i: usize) -> Try<&'a Array> {
        let (found, wanted) = (self.output(self.argument(i)?)?, self.expected()?);
        if !fits(found, wanted) {
            return Err(format!("{} has shape {:?}, expected {:?}", self.argument(i)?, found.shape, wanted.shape).into());
        }
        Ok(found)
    }
}

/// Extents of 1 aside; a flat tensor fits every shape of as many elements.
fn fits(a: &Array, b: &Array) -> bool {
    let long = |array: &Array| array.shape.iter().copied().filter(|&extent| extent != 1).collect::<Vec<_>>();
    let (x, y) = (long(a), long(b));
    a.len() == b.len() && (x == y || x.len() <= 1 || y.len() <= 1)
}

/// |a - b| <= tolerance |b|; NaN equals NaN.
pub fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs()
}

/// Counts entries outside a rule and keeps the first, for one line of a report.
#[derive(Default)]
pub struct Tally {
    checked: u64,
    pub wrong: u64,
    first: String,
}

impl Tally {
    pub fn add(&mut self, good: bool, index: usize, found: impl std::fmt::Display, wanted: impl std::fmt::Display) {
        self.checked += 1;
        if !good {
            if self.wrong == 0 {
                self.first = format!("entry {index} is {found}, expected {wanted}");
            }
            self.wrong += 1;
        }
    }

    /// Fails the check if more than `allowed` entries were wrong.
    pub fn report(self, check: &mut Check, allowed: u64) -> Try<()> {
        if self.wrong > allowed {
            check.fail(format!("{} of {} entries, {}", self.wrong, self.checked, self.first));
        }
        Ok(())
    }
}
