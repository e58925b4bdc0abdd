//! The language of expressions: a subset of Jinja without the parts with which one record could use all the memory.
//!
//! The names are listed here rather than taken from the library. Unknown names are then found before the first record,
//! and a new version of the library adds nothing unnoticed. Left out are `indent`, `format`, `slice`, `batch` and
//! `pprint`, whose output is as large as an argument says; `chain` and `zip`, which take stack for each link;
//! `namespace`, which needs statements; `safe` and `escape`, which are for HTML.

use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior, filters, functions, tests};

use super::bounded::bounded;

/// The most instructions of one expression. A few hundred are usual; the bound stops loops over `range`.
const FUEL: u64 = 100_000;

/// Stateless, so that all flows share it.
pub(super) static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::empty();
    language.set_undefined_behavior(UndefinedBehavior::Strict);
    language.set_fuel(Some(FUEL));
    add_filters(&mut language);
    add_tests(&mut language);
    add_functions(&mut language);
    language
});

/// Makes the list of names and the function that adds them from one table, so that neither can miss an entry.
macro_rules! names {
    (@ add_bounded, $language:ident, $name:literal, $what:expr) => {
        $language.add_filter($name, bounded($name, minijinja::Value::from_function($what)))
    };
    (@ $add:ident, $language:ident, $name:literal, $what:expr) => {
        $language.$add($name, $what)
    };
    ($list:ident, $adds:ident, $add:ident: $($name:literal => $what:expr,)*) => {
        pub(super) const $list: &[&str] = &[$($name),*];

        fn $adds(language: &mut Environment<'static>) {
            $(names!(@ $add, language, $name, $what);)*
        }
    };
}

names! { FILTERS, add_filters, add_bounded:
    "abs" => filters::abs,
    "attr" => filters::attr,
    "bool" => filters::bool,
    "capitalize" => filters::capitalize,
    "count" => filters::length,
    "d" => filters::default,
    "default" => filters::default,
    "dictsort" => filters::dictsort,
    "first" => filters::first,
    "float" => filters::float,
    "groupby" => filters::groupby,
    "int" => filters::int,
    "items" => filters::items,
    "join" => filters::join,
    "last" => filters::last,
    "length" => filters::length,
    "lines" => filters::lines,
    "list" => filters::list,
    "lower" => filters::lower,
    "map" => filters::map,
    "max" => filters::max,
    "min" => filters::min,
    "reject" => filters::reject,
    "rejectattr" => filters::rejectattr,
    "replace" => filters::replace,
    "reverse" => filters::reverse,
    "round" => filters::round,
    "select" => filters::select,
    "selectattr" => filters::selectattr,
    "sort" => filters::sort,
    "split" => filters::split,
    "string" => filters::string,
    "sum" => filters::sum,
    "title" => filters::title,
    "trim" => filters::trim,
    "unique" => filters::unique,
    "upper" => filters::upper,
}

names! { TESTS, add_tests, add_test:
    "boolean" => tests::is_boolean,
    "defined" => tests::is_defined,
    "divisibleby" => tests::is_divisibleby,
    "endingwith" => tests::is_endingwith,
    "eq" => tests::is_eq,
    "equalto" => tests::is_eq,
    "even" => tests::is_even,
    "false" => tests::is_false,
    "float" => tests::is_float,
    "ge" => tests::is_ge,
    "greaterthan" => tests::is_gt,
    "gt" => tests::is_gt,
    "in" => tests::is_in,
    "int" => tests::is_integer,
    "integer" => tests::is_integer,
    "iterable" => tests::is_iterable,
    "le" => tests::is_le,
    "lessthan" => tests::is_lt,
    "lower" => tests::is_lower,
    "lt" => tests::is_lt,
    "mapping" => tests::is_mapping,
    "ne" => tests::is_ne,
    "none" => tests::is_none,
    "number" => tests::is_number,
    "odd" => tests::is_odd,
    "sameas" => tests::is_sameas,
    "sequence" => tests::is_sequence,
    "startingwith" => tests::is_startingwith,
    "string" => tests::is_string,
    "true" => tests::is_true,
    "undefined" => tests::is_undefined,
    "upper" => tests::is_upper,
    "==" => tests::is_eq,
    "!=" => tests::is_ne,
    "<" => tests::is_lt,
    "<=" => tests::is_le,
    ">" => tests::is_gt,
    ">=" => tests::is_ge,
}

names! { FUNCTIONS, add_functions, add_function:
    "dict" => functions::dict,
    "range" => functions::range,
}
