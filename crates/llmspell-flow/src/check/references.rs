//! Checks of the names in templates: each must exist at its position. Also collects the names that are used.

use std::cell::RefCell;
use std::collections::BTreeSet;

use llmspell::internal::suggest;

use super::scope::{Dependencies, NameScope};
use crate::ir::fields::Inputs;
use crate::ir::names::UsedNames;
use crate::ir::shape::Shape;
use crate::template::NameProblem;

/// All names that the templates of a flow can use, and the names that they do use.
pub(crate) struct References<'a> {
    inputs: &'a Inputs,
    /// The ids of all steps, at every depth.
    ids: BTreeSet<&'a str>,
    secrets: Vec<&'a str>,
    used: RefCell<UsedNames>,
}

impl<'a> References<'a> {
    pub(crate) fn new(inputs: &'a Inputs, ids: impl IntoIterator<Item = &'a str>, secrets: Vec<&'a str>) -> Self {
        References { inputs, ids: ids.into_iter().collect(), secrets, used: RefCell::default() }
    }

    /// Returns the scope of the first step.
    pub(crate) fn first_scope(&self) -> NameScope {
        NameScope::first(Shape::declared(self.inputs))
    }

    /// Records that a name is used, and returns the problem with it, if there is one.
    pub(crate) fn check(&self, name: &str, scope: &NameScope, dependencies: &Dependencies) -> Option<NameProblem> {
        let mut parts = name.split('.');
        match (parts.next()?, parts.next()) {
            ("inputs", field) => {
                self.used.borrow_mut().add(field.map_or("inputs".to_owned(), |field| format!("inputs.{field}")));
                let Some(field) = field else {
                    dependencies.add(format!("inputs {}", self.inputs.definition()));
                    return None;
                };
                dependencies.add(format!("inputs.{field} {}", self.inputs.definition_of(field)));
                self.input(field).or_else(|| scope.follow(name).err())
            }
            // `steps` as a whole uses every step.
            ("steps", None) => {
                for (id, (fingerprint, _)) in &scope.steps {
                    self.used.borrow_mut().add(format!("steps.{id}"));
                    dependencies.add(format!("steps.{id} {fingerprint}"));
                }
                None
            }
            ("steps", Some(id)) => {
                self.used.borrow_mut().add(format!("steps.{id}"));
                if let Some((fingerprint, _)) = scope.steps.get(id) {
                    dependencies.add(format!("steps.{id} {fingerprint}"));
                }
                self.step(id, scope).or_else(|| scope.follow(name).err())
            }
            ("record", None | Some("index")) => {
                dependencies.add(name.to_owned());
                None
            }
            ("secrets", Some(secret)) if scope.secrets => self.secret(secret),
            ("item", _) if scope.item.is_some() => scope.follow(name).err(),
            ("index", None) if scope.item.is_some() || scope.round => None,
            ("last", _) if scope.round => None,
            (root, field) => unknown(root, field),
        }
    }

    fn input(&self, field: &str) -> Option<NameProblem> {
        let known = self.inputs.names()?;
        if known.contains(&field) {
            return None;
        }
        let hint = suggest::hint(field, known.iter().copied(), "the declared inputs are");
        complaint(format!("the flow has no input `{field}`"), hint)
    }

    fn secret(&self, secret: &str) -> Option<NameProblem> {
        if self.secrets.contains(&secret) {
            self.used.borrow_mut().add(format!("secrets.{secret}"));
            return None;
        }
        let hint = match self.secrets.is_empty() {
            true => format!("declare it at the top of the flow: `secrets: [{secret}]`"),
            false => suggest::hint(secret, self.secrets.iter().copied(), "the declared secrets are"),
        };
        complaint(format!("the flow has no secret `{secret}`"), hint)
    }

    fn step(&self, id: &str, scope: &NameScope) -> Option<NameProblem> {
        if scope.steps.contains_key(id) {
            return None;
        }
        let here = scope.around.last().is_some_and(|own| **own == *id);
        if here || scope.around.iter().any(|outer| **outer == *id) {
            let message = if here { "refers to itself" } else { "contains this one, and has no output yet" };
            return complaint(
                format!("the step `{id}` {message}"),
                "use the output of an earlier step; in `repeat`, `last` is the output of the last round",
            );
        }
        if self.ids.contains(id) {
            return complaint(
                format!("the step `{id}` runs later than this one, or inside of another step"),
                "use the output of an earlier step, in the same list or in a list around it",
            );
        }
        if scope.steps.is_empty() {
            return complaint(format!("there is no step `{id}`"), "use `inputs` in the first step");
        }
        let hint = suggest::hint(id, scope.steps.keys().map(|id| &**id), "the steps before are");
        complaint(format!("there is no step `{id}`"), hint)
    }

    /// Returns the names that were used, and forgets them.
    pub(crate) fn take_used(&self) -> UsedNames {
        self.used.take()
    }
}

/// Returns the problem with a name that does not exist at this position.
fn unknown(root: &str, field: Option<&str>) -> Option<NameProblem> {
    match (root, field) {
        ("record", Some(field)) => complaint(
            format!("`record` has no field `{field}`"),
            "use `record.index`, its position from 0; the fields of the record are in `inputs`",
        ),
        ("item", _) => complaint(
            "there is no `item` here".to_owned(),
            "use it in `each`, or in a `pipeline` with `from`; the position of the record is `record.index`",
        ),
        ("index", _) => complaint(
            "there is no `index` here".to_owned(),
            "use it in `each`, `repeat`, or a `pipeline` with `from`; the position of the record is `record.index`",
        ),
        ("last", _) => complaint(
            "there is no `last` here".to_owned(),
            "use it in `repeat`, where it is the output of the last round",
        ),
        ("secrets", _) => complaint(
            "secrets cannot be used here".to_owned(),
            "use one by name in the arguments of a tool: `${{ secrets.API_KEY }}`",
        ),
        (root, _) => {
            complaint(format!("unknown name `{root}`"), "use `inputs`, `steps` or `record`; put text in quotes")
        }
    }
}

fn complaint(message: String, hint: impl Into<String>) -> Option<NameProblem> {
    Some(NameProblem::new(message, hint))
}
