//! Forms as Stripe's clients encode them: `metadata[order]=6735&expand[]=customer&items[0][price]=price_1`.

use crate::refusal::Refusal;
use serde_json::{Map, Value};

/// A form's fields as a tree whose leaves are texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form {
    tree: Value,
    /// Where it stands in the whole form, for messages.
    prefix: String,
}

impl Form {
    /// Reads `a=1&b[c]=2`; a name that is given twice counts as it was given last.
    pub(crate) fn parse(encoded: &str) -> Self {
        let mut tree = Value::Object(Map::new());
        for (name, value) in url::form_urlencoded::parse(encoded.as_bytes()) {
            put(&mut tree, &steps(&name), value.into_owned());
        }
        Self { tree: lists(tree), prefix: String::new() }
    }

    /// The whole tree, for the record of what came.
    pub(crate) fn tree(&self) -> &Value {
        &self.tree
    }

    /// The names at the top.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tree.as_object().into_iter().flat_map(|it| it.keys().map(String::as_str))
    }

    /// Whether `path`, such as `recurring.interval`, is there, if only to be unset by an empty text.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    /// A text; an empty one counts as none.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.at(path)?.as_str().filter(|it| !it.is_empty())
    }

    /// The same as a value of an object, where none is null.
    pub(crate) fn value(&self, path: &str) -> Value {
        self.text(path).map_or(Value::Null, Value::from)
    }

    /// A text that must be there.
    pub(crate) fn need(&self, path: &str) -> Result<&str, Refusal> {
        self.text(path).ok_or_else(|| Refusal::missing(&self.name(path)))
    }

    /// A whole number, if it is there.
    pub(crate) fn integer(&self, path: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(path) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::invalid_integer(&self.name(path), text))
    }

    /// A truth, if it is there.
    pub(crate) fn truth(&self, path: &str) -> Result<Option<bool>, Refusal> {
        match self.text(path) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Refusal::new(format!("Invalid boolean: {other}")).param(&self.name(path))),
        }
    }

    /// One of `known`, if it is there.
    pub(crate) fn one_of(&self, path: &str, known: &[&str]) -> Result<Option<&str>, Refusal> {
        let Some(text) = self.text(path) else { return Ok(None) };
        if known.contains(&text) {
            return Ok(Some(text));
        }
        let known: Vec<String> = known.iter().map(|it| format!("`{it}`")).collect();
        let name = self.name(path);
        Err(Refusal::new(format!("Invalid {name}: must be one of {}", known.join(", "))).param(&name))
    }

    /// The members of a list, each a form of its own.
    pub(crate) fn list(&self, path: &str) -> Vec<Self> {
        let members = self.at(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let name = self.name(path);
        let member = |(at, tree): (usize, &Value)| Self { tree: tree.clone(), prefix: format!("{name}[{at}]") };
        members.iter().enumerate().map(member).collect()
    }

    /// The texts of a list.
    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        let members = self.at(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        members.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Part of the form.
    pub(crate) fn part(&self, path: &str) -> Self {
        Self { tree: self.at(path).cloned().unwrap_or_default(), prefix: self.name(path) }
    }

    /// Names and texts, such as metadata; names that are numbers looked like a list's.
    pub(crate) fn map(&self, path: &str) -> Map<String, Value> {
        match self.at(path) {
            Some(Value::Object(map)) => map.clone(),
            Some(Value::Array(list)) => list.iter().enumerate().map(|(at, it)| (at.to_string(), it.clone())).collect(),
            _ => Map::new(),
        }
    }

    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.tree, |tree, step| match tree {
            Value::Array(list) => list.get(step.parse::<usize>().ok()?),
            other => other.get(step),
        })
    }

    /// A path as the client wrote it.
    fn name(&self, path: &str) -> String {
        let mut steps = path.split('.');
        let first = steps.next().unwrap_or_default();
        let first = if self.prefix.is_empty() { first.to_owned() } else { format!("{}[{first}]", self.prefix) };
        steps.fold(first, |name, step| format!("{name}[{step}]"))
    }
}

/// `a[b][]` is `a`, `b` and an empty step.
fn steps(name: &str) -> Vec<String> {
    let (first, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    let rest = rest.strip_prefix('[').map(|it| it.strip_suffix(']').unwrap_or(it));
    std::iter::once(first).chain(rest.into_iter().flat_map(|it| it.split("]["))).map(str::to_owned).collect()
}

fn put(tree: &mut Value, steps: &[String], value: String) {
    let Some((first, rest)) = steps.split_first() else {
        *tree = value.into();
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    let map = tree.as_object_mut().expect("it was made an object just now");
    // An empty step appends.
    let key = if first.is_empty() { map.len().to_string() } else { first.clone() };
    put(map.entry(key).or_insert(Value::Null), rest, value);
}

/// An object whose names are 0, 1, 2, … is a list.
fn lists(tree: Value) -> Value {
    let Value::Object(map) = tree else { return tree };
    let mut numbered: Vec<(usize, Value)> = Vec::new();
    let is_list = !map.is_empty() && map.keys().all(|it| it.parse::<usize>().is_ok());
    if !is_list {
        return map.into_iter().map(|(name, value)| (name, lists(value))).collect();
    }
    for (name, value) in map {
        numbered.push((name.parse().unwrap_or_default(), lists(value)));
    }
    numbered.sort_by_key(|(at, _)| *at);
    numbered.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_form_is_a_tree() {
        for (form, tree) in [
            ("", json!({})),
            ("a=1&b=x%20y+z", json!({"a": "1", "b": "x y z"})),
            ("metadata[order]=6735&metadata[b]=", json!({"metadata": {"order": "6735", "b": ""}})),
            ("expand[]=a&expand[]=b.c", json!({"expand": ["a", "b.c"]})),
            ("i[1][p]=b&i[0][p]=a&i[0][q][r]=2", json!({"i": [{"p": "a", "q": {"r": "2"}}, {"p": "b"}]})),
            ("created%5Bgte%5D=5", json!({"created": {"gte": "5"}})),
            ("a=1&a=2", json!({"a": "2"})),
            ("a[", json!({"a": {"": ""}})),
        ] {
            if form == "a[" {
                // What no client writes does no harm.
                Form::parse(form);
            } else {
                assert_eq!(*Form::parse(form).tree(), tree, "{form}");
            }
        }
    }

    #[test]
    fn a_wrong_value_is_named_as_the_client_wrote_it() {
        let form = Form::parse("items[0][quantity]=many&items[1][quantity]=2&off=maybe");
        let items = form.list("items");
        assert_eq!(items[1].integer("quantity").unwrap(), Some(2));
        let refusal = items[0].integer("quantity").unwrap_err();
        assert_eq!(refusal.body()["error"]["param"], "items[0][quantity]");
        assert_eq!(refusal.body()["error"]["code"], "parameter_invalid_integer");
        assert!(form.truth("off").is_err());
        assert_eq!(form.need("card.number").unwrap_err().body()["error"]["param"], "card[number]");
    }
}
