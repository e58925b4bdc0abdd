//! The names in templates: where they lead, and which steps nobody names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmspell::suggest;

use crate::ir::fields::Inputs;
use crate::ir::fingerprint::Fingerprint;
use crate::ir::names::UsedNames;
use crate::ir::shape::Shape;
use crate::template::{GuardedNames, NameProblem};

/// Every name that a template of the flow may use, and those that are used.
pub(crate) struct References<'a> {
    inputs: &'a Inputs,
    /// The ids of all steps, wherever they stand.
    ids: BTreeSet<&'a str>,
    secrets: Vec<&'a str>,
    used: RefCell<UsedNames>,
}

/// What the templates in one place can see.
#[derive(Clone)]
pub(crate) struct Sight {
    /// What is known of the fields of the record.
    inputs: Shape,
    /// The steps before, what they depend on, and what they give.
    steps: BTreeMap<Arc<str>, (Fingerprint, Shape)>,
    /// Its own id, and those of the steps around it.
    around: Vec<Arc<str>>,
    /// What is known of the item of a list, if there is one.
    pub(crate) item: Option<Shape>,
    /// Whether there is an output of the round before.
    pub(crate) round: bool,
    /// Whether secrets may be used here.
    pub(crate) secrets: bool,
    /// What the conditions of the steps around have asked for.
    pub(crate) asked: GuardedNames,
}

impl Sight {
    /// What the first step sees.
    fn first(inputs: Shape) -> Self {
        Sight {
            inputs,
            steps: BTreeMap::new(),
            around: Vec::new(),
            item: None,
            round: false,
            secrets: false,
            asked: GuardedNames::default(),
        }
    }

    /// What a step sees behind another one.
    pub(crate) fn add(&mut self, id: &Arc<str>, fingerprint: Fingerprint, shape: Shape) {
        self.steps.insert(id.clone(), (fingerprint, shape));
    }

    /// What is known of a value by its name, such as `steps.page.body`.
    pub(crate) fn shape_of(&self, name: &str) -> Shape {
        self.follow(name).unwrap_or_default()
    }

    /// The same, or why the name leads nowhere.
    fn follow(&self, name: &str) -> Result<Shape, NameProblem> {
        let mut parts = name.split('.');
        let (whole, shape) = match (parts.next(), &self.item) {
            (Some("item"), Some(item)) => ("item".to_owned(), item),
            (Some("steps"), _) => match parts.next().and_then(|id| self.steps.get_key_value(id)) {
                Some((id, (_, shape))) => (format!("steps.{id}"), shape),
                None => return Ok(Shape::Any),
            },
            // As a whole, it has whatever else is in the record.
            (Some("inputs"), _) if name != "inputs" => ("inputs".to_owned(), &self.inputs),
            _ => return Ok(Shape::Any),
        };
        match shape.follow(&whole, parts) {
            // Here it is there, or nothing is computed.
            Err(wrong) if wrong.lacks.as_deref().is_some_and(|lacks| self.asked.guards(lacks)) => Ok(Shape::Any),
            other => other,
        }
    }

    /// What is seen inside of a step.
    pub(crate) fn within(&self, id: &Arc<str>) -> Self {
        let mut inside = self.clone();
        inside.around.push(id.clone());
        inside
    }
}

/// What a step uses, for its fingerprint.
#[derive(Default)]
pub(crate) struct Uses(RefCell<BTreeSet<String>>);

impl Uses {
    fn note(&self, what: String) {
        self.0.borrow_mut().insert(what);
    }

    /// All of it, in a fixed order.
    pub(crate) fn into_text(self) -> String {
        self.0.into_inner().into_iter().collect::<Vec<_>>().join("\n")
    }
}

impl<'a> References<'a> {
    pub(crate) fn new(inputs: &'a Inputs, ids: impl IntoIterator<Item = &'a str>, secrets: Vec<&'a str>) -> Self {
        References { inputs, ids: ids.into_iter().collect(), secrets, used: RefCell::default() }
    }

    /// What the first step sees.
    pub(crate) fn sight(&self) -> Sight {
        Sight::first(Shape::declared(self.inputs))
    }

    /// Notes that a name is used, and says what is wrong with that.
    pub(crate) fn check(&self, name: &str, sight: &Sight, uses: &Uses) -> Option<NameProblem> {
        let mut parts = name.split('.');
        let (root, next) = (parts.next()?, parts.next());
        match (root, next) {
            ("inputs", None) => {
                self.used.borrow_mut().add("inputs".to_owned());
                uses.note(format!("inputs {}", self.inputs.essence()));
                None
            }
            ("inputs", Some(field)) => {
                self.used.borrow_mut().add(format!("inputs.{field}"));
                uses.note(format!("inputs.{field} {}", self.inputs.essence_of(field)));
                self.input(field).or_else(|| sight.follow(name).err())
            }
            // Whoever takes `steps` as a whole takes every step.
            ("steps", None) => {
                for (id, (fingerprint, _)) in &sight.steps {
                    self.used.borrow_mut().add(format!("steps.{id}"));
                    uses.note(format!("steps.{id} {fingerprint}"));
                }
                None
            }
            ("steps", Some(id)) => {
                self.used.borrow_mut().add(format!("steps.{id}"));
                if let Some((fingerprint, _)) = sight.steps.get(id) {
                    uses.note(format!("steps.{id} {fingerprint}"));
                }
                self.step(id, sight).or_else(|| sight.follow(name).err())
            }
            ("record", None | Some("index")) => {
                uses.note(name.to_owned());
                None
            }
            ("record", Some(field)) => complaint(
                format!("`record` has no `{field}`"),
                "it has `index`, its place from 0; its fields are in `inputs`",
            ),
            ("item", _) if sight.item.is_some() => sight.follow(name).err(),
            ("index", None) if sight.item.is_some() || sight.round => None,
            ("last", _) if sight.round => None,
            ("item", _) => complaint(
                "there is no `item` here".to_owned(),
                "only steps in `each`, and in a `pipeline` with `from`, see one; the place of the record is `record.index`",
            ),
            ("index", _) => complaint(
                "there is no `index` here".to_owned(),
                "only steps in `each`, `repeat`, and a `pipeline` with `from` see one; the place of the record is `record.index`",
            ),
            ("last", _) => {
                complaint("there is no `last` here".to_owned(), "only steps in `repeat` see the output before")
            }
            ("secrets", Some(secret)) if sight.secrets => self.secret(secret),
            ("secrets", _) => complaint(
                "secrets cannot be used here".to_owned(),
                "they can be named one by one in the arguments of tools: `${{ secrets.API_KEY }}`",
            ),
            (root, _) => complaint(
                format!("`{root}` is not known"),
                "there are `inputs`, `steps` and `record`; text stands in quotes",
            ),
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

    fn step(&self, id: &str, sight: &Sight) -> Option<NameProblem> {
        if sight.steps.contains_key(id) {
            return None;
        }
        let here = sight.around.last().is_some_and(|own| **own == *id);
        if here || sight.around.iter().any(|outer| **outer == *id) {
            let message = if here { "refers to itself" } else { "is around this one, and has no output yet" };
            return complaint(
                format!("the step `{id}` {message}"),
                "a step sees the outputs of those before it; in `repeat`, `last` is the output of the round before",
            );
        }
        if self.ids.contains(id) {
            return complaint(
                format!("the step `{id}` runs later than this one, or inside of another step"),
                "steps see those before them, in the same list or in a list around it",
            );
        }
        if sight.steps.is_empty() {
            return complaint(format!("there is no step `{id}`"), "the first step can use `inputs` only");
        }
        let hint = suggest::hint(id, sight.steps.keys().map(|id| &**id), "the steps before are");
        complaint(format!("there is no step `{id}`"), hint)
    }

    /// The names that were used since the beginning.
    pub(crate) fn take_used(&self) -> UsedNames {
        self.used.take()
    }
}

fn complaint(message: String, hint: impl Into<String>) -> Option<NameProblem> {
    Some(NameProblem::new(message, hint))
}
