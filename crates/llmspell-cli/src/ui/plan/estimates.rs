//! Estimated tokens and cost as a table.

use std::collections::BTreeSet;

use llmspell_flow::{Estimate, EstimatedUse};

use crate::ui::text::{count, wrap};

/// The maximum width of a line.
const WIDTH: usize = 80;

/// Returns the estimates as a table, with notes below; empty if no model is called.
pub(super) fn table(estimates: &[Estimate]) -> String {
    let called: Vec<&Estimate> = estimates.iter().filter(|estimate| estimate.worst.calls > 0).collect();
    if called.is_empty() {
        return String::new();
    }
    let mut rows = vec![["  estimated tokens", "calls", "input", "output at most", "cost at most"].map(str::to_owned)];
    for estimate in &called {
        let lists: String = estimate.for_each_of.iter().map(|list| format!(" × items of `{list}`")).collect();
        rows.push([format!("  {}{lists}", estimate.model), String::new(), String::new(), String::new(), String::new()]);
        rows.push(row("    each agent once", &estimate.once));
        rows.push(row("    at worst", &estimate.worst));
    }
    let mut text = aligned(&rows);
    for note in notes(&called) {
        text.push_str(&format!("    {}\n", wrap(&note, WIDTH - 4, 6)));
    }
    text
}

/// Returns the rows in columns. A row with a first cell only is a title, and takes no part in the widths.
fn aligned(rows: &[[String; 5]]) -> String {
    let is_title = |row: &[String; 5]| row[1].is_empty();
    let cells = || rows.iter().filter(|row| !is_title(row));
    let width = |column: usize| cells().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    let mut text = String::new();
    for row in rows {
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
    text
}

fn row(label: &str, used: &EstimatedUse) -> [String; 5] {
    let lower_bound = |text: String, is_complete: bool| if is_complete { text } else { text + "+" };
    let output = used.output_tokens.map_or_else(|| "no bound".to_owned(), count);
    let cost = match (used.cost, used.input_cost) {
        (Some(cost), _) => lower_bound(amount(cost), used.input_is_complete || cost == 0.0),
        (None, Some(input)) => amount(input) + "+",
        (None, None) => "?".to_owned(),
    };
    let input = lower_bound(count(used.input_tokens), used.input_is_complete);
    [label.to_owned(), count(used.calls), input, output, cost]
}

/// Returns what the numbers leave out, and how to complete them.
fn notes(estimates: &[&Estimate]) -> Vec<String> {
    let mut notes = Vec::new();
    let all = |of: fn(&Estimate) -> &BTreeSet<String>| -> BTreeSet<&str> {
        estimates.iter().flat_map(|estimate| of(estimate)).map(String::as_str).collect()
    };
    let models = |is: fn(&Estimate) -> bool| -> BTreeSet<&str> {
        estimates.iter().filter(|estimate| is(estimate)).map(|estimate| estimate.model.as_str()).collect()
    };
    let missing = [
        ("", all(|estimate| &estimate.unknown)),
        ("answers of ", models(|estimate| is_paid(estimate) && is_unbounded(estimate))),
        ("earlier turns of ", all(|estimate| &estimate.unknown_answers)),
        ("tool results of ", all(|estimate| &estimate.unknown_tool_answers)),
        ("tool descriptions of the server ", all(|estimate| &estimate.unknown_tools)),
    ];
    let missing: Vec<String> = missing
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(before, names)| format!("{before}{}", quoted(names)))
        .collect();
    if !missing.is_empty() {
        notes.push(format!("+ a lower bound; unknown before the run: {}", missing.join("; ")));
    }
    let unbounded = models(|estimate| is_unbounded(estimate) && !is_free(estimate));
    if !unbounded.is_empty() {
        let models = quoted(&unbounded);
        notes.push(format!("to bound the answers of {models}: `max_output_tokens: 500` under `models`"));
    }
    let unpriced = models(|estimate| estimate.prices.is_none());
    if !unpriced.is_empty() {
        let models = quoted(&unpriced);
        notes.push(format!("to price {models}: `prices: {{ input: 0.4, output: 1.6 }}` under `models`"));
    }
    notes
}

fn quoted(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
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

/// Formats an amount with four significant digits, or two decimals if those are more: `0.00125`, `12.5`, `1,234.57`.
fn amount(amount: f64) -> String {
    let magnitude = amount.abs().log10().floor();
    let decimals = if magnitude.is_finite() { (3.0 - magnitude).clamp(2.0, 9.0) as usize } else { 2 };
    let text = format!("{amount:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    match fraction.trim_end_matches('0') {
        "" => whole,
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_their_significant_digits() {
        let cases = [(0.0, "0"), (0.00125, "0.00125"), (0.3, "0.3"), (12.5, "12.5"), (1_234_567.891, "1,234,567.89")];
        for (number, text) in cases {
            assert_eq!(amount(number), text);
        }
    }
}
