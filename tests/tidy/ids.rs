//! Every rule of the server profile that viewers are promised has one test that is named by its
//! id: P01 to P27 playlists, D01 to D16 directives, M01 to M06 media, T01 to T08 transport and
//! caches. A rule without a test, two tests of one, and an id that is none are findings.

use crate::Finding;
use crate::source::Source;

/// The kinds of rules and how many there are of each.
const KINDS: &[(char, u32)] = &[('p', 27), ('d', 16), ('m', 6), ('t', 8)];

/// Rules that were put between two others.
const BETWEEN: &[&str] = &["d15b", "t02b"];

/// Where the rules stand, for a finding that belongs to no other file.
const RULES: &str = "tests/flow/rules/mod.rs";

/// Every id, in lower case.
pub(crate) fn ids() -> Vec<String> {
    let of = |(kind, n): &(char, u32)| -> Vec<String> {
        (1..=*n).map(|i| format!("{kind}{i:02}")).collect()
    };
    KINDS.iter().flat_map(of).chain(BETWEEN.iter().map(|id| (*id).to_owned())).collect()
}

/// The id that a function's name begins with, whether there is such a rule or not.
fn id_of(name: &str) -> Option<&str> {
    let (id, rest) = name.split_once('_')?;
    let kind = |c: &char| KINDS.iter().any(|(k, _)| k == c);
    let digits = id.get(1..3).is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let shape = id.chars().next().as_ref().is_some_and(kind) && digits && id.len() <= 4;
    (shape && !rest.is_empty()).then_some(id)
}

/// Is the function whose `fn` stands at `at` a test?
fn is_test(file: &Source, at: usize) -> bool {
    let above = file.code[..at].rfind('\n').map_or("", |n| &file.code[..n]);
    let mut attributes = above.lines().rev().map(str::trim).take_while(|l| l.starts_with("#["));
    attributes.any(|a| a.contains("test]") || a.contains("test("))
}

/// Every rule has its test in `tests`, and every test that is named like one has its rule.
pub(crate) fn check(tests: &[Source], found: &mut Vec<Finding>) {
    let ids = ids();
    let mut seen: Vec<(&str, String)> = Vec::new();
    let mut report = |file: &str, line: usize, what: String, mend: &str| {
        let (file, mend) = (file.to_owned(), mend.to_owned());
        found.push(Finding { file, line, rule: "rule-test", what, mend });
    };
    for file in tests {
        for (at, _) in file.code.match_indices("fn ") {
            let name: String = file.code[at + 3..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let Some(id) = id_of(&name) else { continue };
            let (here, line) = (file.file.as_str(), file.line(at));
            let Some(known) = ids.iter().find(|known| *known == id) else {
                let mend = "name it by what it shows, or add the rule to tests/tidy/ids.rs";
                report(here, line, format!("`{name}` is named by a rule that there is not"), mend);
                continue;
            };
            if !is_test(file, at) {
                let mend = "only the rule's test has the rule's name";
                report(here, line, format!("`{name}` is no test"), mend);
            } else if let Some((_, first)) = seen.iter().find(|(of, _)| of == known) {
                let mend = "make one test of the two, or name one by what it shows";
                report(here, line, format!("`{name}`: the rule has a test, `{first}`"), mend);
            } else {
                seen.push((known, name));
            }
        }
    }
    for id in ids.iter().filter(|id| seen.iter().all(|(of, _)| of != id)) {
        let what = format!("no test is named `{id}_…`");
        report(RULES, 1, what, "hold the rule by a test of its name that fails when it is broken");
    }
}
