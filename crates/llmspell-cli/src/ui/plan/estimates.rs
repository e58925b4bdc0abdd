//! Estimated tokens and cost, set for reading.

use std::collections::BTreeSet;

use llmspell_flow::{Estimate, EstimatedUse};

use crate::ui::show;

/// No line is longer than a terminal is wide.
const WIDTH: usize = 80;

/// The estimates as a table, and what is to know about them; empty if no model is asked.
pub(crate) fn table(estimates: &[Estimate]) -> String {
    let asked: Vec<&Estimate> = estimates.iter().filter(|estimate| estimate.worst.calls > 0).collect();
    if asked.is_empty() {
        return String::new();
    }
    let mut rows = vec![["  estimated tokens", "calls", "input", "output at most", "cost at most"].map(str::to_owned)];
    for estimate in &asked {
        let lists: String = estimate.for_each_of.iter().map(|list| format!(" × items of `{list}`")).collect();
        rows.push([format!("  {}{lists}", estimate.model), String::new(), String::new(), String::new(), String::new()]);
        rows.push(row("    each agent once", &estimate.once));
        rows.push(row("    at worst", &estimate.worst));
    }
    let is_title = |row: &[String; 5]| row[1].is_empty();
    let cells = || rows.iter().filter(|row| !is_title(row));
    let width = |column: usize| cells().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    let mut text = String::new();
    for row in &rows {
        if is_title(row) {
            text.push_str(&format!("{}\n", row[0]));
            continue;
        }
        text.push_str(&format!("{:<width$}", row[0], width = widths[0]));
        for (cell, width) in row.iter().zip(widths).skip(1) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    for note in notes(&asked) {
        text.push_str(&format!("    {}\n", show::wrapped(&note, WIDTH - 4, 6)));
    }
    text
}

fn row(label: &str, spent: &EstimatedUse) -> [String; 5] {
    let more = |text: String, is_complete: bool| if is_complete { text } else { text + "+" };
    let output = spent.output_tokens.map_or_else(|| "no bound".to_owned(), show::count);
    let cost = match (spent.cost, spent.input_cost) {
        (Some(cost), _) => more(amount(cost), spent.input_is_complete || cost == 0.0),
        (None, Some(input)) => amount(input) + "+",
        (None, None) => "?".to_owned(),
    };
    let input = more(show::count(spent.input_tokens), spent.input_is_complete);
    [label.to_owned(), show::count(spent.calls), input, output, cost]
}

/// What is missing in the numbers, and what to do about it.
fn notes(estimates: &[&Estimate]) -> Vec<String> {
    let mut notes = Vec::new();
    let quoted = |names: &BTreeSet<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let all = |of: fn(&Estimate) -> &BTreeSet<String>| -> BTreeSet<&str> {
        estimates.iter().flat_map(|estimate| of(estimate)).map(String::as_str).collect()
    };
    let models = |is: fn(&Estimate) -> bool| -> BTreeSet<&str> {
        estimates.iter().filter(|estimate| is(estimate)).map(|estimate| estimate.model.as_str()).collect()
    };
    let missing = [
        ("", all(|estimate| &estimate.unknown), ""),
        ("what ", models(|estimate| is_paid(estimate) && is_unbounded(estimate)), " answers"),
        ("what ", all(|estimate| &estimate.unknown_answers), " has said before"),
        ("what the tools of ", all(|estimate| &estimate.unknown_tool_answers), " answer"),
        ("what a server says of ", all(|estimate| &estimate.unknown_tools), ""),
    ];
    let missing: Vec<String> = missing
        .iter()
        .filter(|(_, names, _)| !names.is_empty())
        .map(|(before, names, behind)| format!("{before}{}{behind}", quoted(names)))
        .collect();
    if !missing.is_empty() {
        notes.push(format!("+ and more, which is not known before: {}", missing.join("; ")));
    }
    let unbounded = models(|estimate| is_unbounded(estimate) && !is_free(estimate));
    if !unbounded.is_empty() {
        notes.push(format!("bound what {} answers: `max_output_tokens: 500` under `models`", quoted(&unbounded)));
    }
    let unpriced = models(|estimate| estimate.prices.is_none());
    if !unpriced.is_empty() {
        notes.push(format!(
            "say what {} costs: `prices: {{ input: 0.4, output: 1.6 }}` under `models`",
            quoted(&unpriced)
        ));
    }
    notes
}

fn is_unbounded(estimate: &Estimate) -> bool {
    estimate.worst.output_tokens.is_none()
}

fn is_paid(estimate: &Estimate) -> bool {
    estimate.prices.is_some_and(|prices| prices.output > 0.0)
}

fn is_free(estimate: &Estimate) -> bool {
    estimate.prices.is_some_and(|prices| prices.input == 0.0 && prices.output == 0.0)
}

/// Four digits that matter, or two behind the point: `0.00125`, `12.5`, `1,234.57`.
fn amount(amount: f64) -> String {
    let before = amount.abs().log10().floor();
    let decimals = if before.is_finite() { (3.0 - before).clamp(2.0, 9.0) as usize } else { 2 };
    let text = format!("{amount:.decimals$}");
    let (whole, behind) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), show::count);
    match behind.trim_end_matches('0') {
        "" => whole,
        behind => format!("{whole}.{behind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_the_digits_that_matter() {
        let cases = [(0.0, "0"), (0.00125, "0.00125"), (0.3, "0.3"), (12.5, "12.5"), (1_234_567.891, "1,234,567.89")];
        for (number, text) in cases {
            assert_eq!(amount(number), text);
        }
    }
}
