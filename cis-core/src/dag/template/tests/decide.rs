//! Conditions, lists, and texts that are rendered before a task starts.

use serde_json::{Value, json};

use super::super::*;
use super::{command, with};
use crate::dag::model::{Approval, Cache, CacheKey, Foreach};

fn params() -> BTreeMap<String, Value> {
    serde_json::from_value(json!({
        "n": 3, "yes": true, "v": "eu,us", "list": ["a", { "b": 1 }], "long": vec![0; MAX_ITEMS + 1],
    }))
    .unwrap()
}

fn decided(text: &str) -> Result<bool, RenderError> {
    with(&params(), |values| condition(text, &command(&["true"]), values))
}

fn listed(text: &str) -> Result<Vec<Value>, RenderError> {
    with(&params(), |values| items(text, &command(&["true"]), values))
}

#[test]
fn conditions() {
    for (text, value) in [
        ("true", true),
        (" params.yes ", true),
        ("not params.yes", false),
        ("params.n > 2 and tasks.a-1.outputs.x == \"out\"", true),
        ("tasks['a-1'].outputs.list | length == 1", false),
        ("tasks.a-1.outputs.gone | default(false)", false),
        ("tasks.a-1.outputs.gone is defined or {'a': {}}.a is mapping", true),
        ("{'}}': true}['}}']", true),
    ] {
        assert_eq!(decided(text), Ok(value), "{text}");
    }
}

#[test]
fn what_is_neither_true_nor_false_is_refused() {
    let said: Vec<String> = [
        "params.n",
        "params.v",
        "params.n + 1",
        "params.list",
        "none",
        "'yes'",
        "tasks.a-1.outputs.gone > 1",
        "tasks.a-1.outputs.gone == 1",
        "{{ params.yes }}",
        "params.yes | raw",
        "tasks.a-1.output == ''",
        "item == 1",
        "attempt > 1",
        "params.n > ",
        "(params.yes",
        "params.yes }}",
        ".x",
        "",
    ]
    .map(|text| decided(text).unwrap_err().to_string())
    .into();
    insta::assert_snapshot!(said.join("\n"), @r#"
        if: params.n: this is a number, and only true or false decides: compare it, as in `… > 0`
        if: params.v: this is a text, and only true or false decides: compare it, as in `… == "text"`
        if: params.n + 1: this is a number, and only true or false decides: compare it, as in `… > 0`
        if: params.list: this is a list, and only true or false decides: compare it, as in `… is defined` or `(… | length) > 0`
        if: none: this is none, and only true or false decides: compare it, as in `… is defined` or `(… | length) > 0`
        if: 'yes': this is a text, and only true or false decides: compare it, as in `… == "text"`
        if: tasks.a-1.outputs.gone > 1: task `a-1` left no output `gone`; add `| default(…)` if that can be
        if: tasks.a-1.outputs.gone == 1: task `a-1` left no output `gone`; add `| default(…)` if that can be
        if: {{ params.yes }}: this is an expression already; write it without the braces
        if: params.yes | raw: `raw` is for scripts; leave it out: no shell reads this value
        if: tasks.a-1.output == '': logs are not read for what is decided before a task starts; have that task write what matters to $CIS_OUTPUT, and use tasks.ID.outputs.NAME
        if: item == 1: this is decided once, before there are items; choose the items in foreach, as in `… | reject("equalto", "x")`
        if: attempt > 1: this is decided before the first try; leave `attempt` out
        if: params.n > : syntax error (unexpected end of input, expected expression)
        if: (params.yes: syntax error (unexpected end of input, expected `)`)
        if: params.yes }}: unexpected `}`; there are names, numbers, texts in quotes, operators and filters
        if: .x: nothing stands before this dot; there are names, numbers, texts in quotes, operators and filters
        if: : there is nothing in it; there are names, numbers, texts in quotes, operators and filters
        "#);
}

#[test]
fn values_of_one_type_are_compared() {
    for (text, value) in [
        ("params.n == 3.0 and params.n < 3.5 and 3 <= params.n", true),
        ("1 < params.n < 3", false),
        ("1 < params.n <= 3 != 4", true),
        ("not params.n == 3 or (params.n > 2) == true", true),
        ("(params.v == 'eu,us') if params.n != 3 else params.n in [1, 3]", true),
        ("params.n not in [1] and 'a' in params.list", true),
        (
            "params.list | select('>', 1) | list | length == 0 if false else params.n > (params.list | length)",
            true,
        ),
        ("[params.n > 2, params.n == 2] == [true, false] and {'a': 1 < 2}.a", true),
        ("dict(a=params.n == 3).a and params.list[params.n - 2] != none", true),
        ("none == params.n or none != none or params.list == 'a'", false),
        ("'a' < 'b' <= 'b' and [1] < [2] and false < true", true),
        ("'<' ~ \"==\" == '<=='", true),
        ("params.n is lessthan 4 and params.n is eq 3 and params.n is not ne 3", true),
        ("['a', none, [1], 'b'] | reject('equalto', 'a') | list | length == 3", true),
        ("[{'a': 1}, {'b': 1}] | selectattr('a', '==', 1) | list | length == 1", true),
        ("[{'a': 1}, {'b': 1}] | rejectattr('a', 'ne', 1) | list | length == 1", true),
        ("[1, 'a', none] | reject('sameas', 'a') | list | length == 2", true),
        ("1 < 2 in [2] and 1 < 2 not  in [3] != none", true),
        ("1 > params.n in [3] or 1 < params.n not in [3]", false),
    ] {
        assert_eq!(decided(text), Ok(value), "{text}");
    }
}

#[test]
fn values_of_different_types_are_not_compared() {
    let said: Vec<String> = [
        "params.v > 3",
        "3 < params.v",
        "params.list > 0",
        "params.yes > 0",
        "params.yes == 'true'",
        "1 == params.yes",
        "params.v == 5",
        "params.v != 5",
        "none > 1",
        "{'a': 1} < {'a': 2}",
        "1 < 2 < 'a'",
        "(params.n == '3') or true",
        "params.n is lessthan 'a'",
        "[1, 'a'] | select('>', 0) | list | length == 1",
        "[1, 'a'] | select('==', 1) | list | length == 1",
        "[1, 'a'] | reject('equalto', 'a') | list | length == 1",
        "[{'a': '1'}] | selectattr('a', 'eq', 1) | list | length == 1",
        "[{'a': '1'}] | rejectattr('a', '!=', 1) | list | length == 1",
        "params.n is eq '3'",
        "'a' > 0 in [true]",
        "params.n not in params.list and 3 in [3] and 1 < 'a' not in ['a']",
        "tasks.a-1.outputs.gone > 'x'",
        "params.n == > 1",
    ]
    .map(|text| decided(text).unwrap_err().to_string())
    .into();
    insta::assert_snapshot!(said.join("\n"), @r#"
        if: params.v > 3: cannot compare a text with a number (`>`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: 3 < params.v: cannot compare a number with a text (`<`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: params.list > 0: cannot compare a list with a number (`>`); compare its length: `(… | length) > 0`
        if: params.yes > 0: cannot compare a boolean with a number (`>`); a boolean is compared with true or false
        if: params.yes == 'true': cannot compare a boolean with a text (`==`); a boolean is compared with true or false
        if: 1 == params.yes: cannot compare a number with a boolean (`==`); a boolean is compared with true or false
        if: params.v == 5: cannot compare a text with a number (`==`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: params.v != 5: cannot compare a text with a number (`!=`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: none > 1: cannot compare none with a number (`>`); add `| default(…)` for where it is none
        if: {'a': 1} < {'a': 2}: cannot compare an object with an object (`<`); compare its length: `(… | length) > 0`
        if: 1 < 2 < 'a': cannot compare a number with a text (`<`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: (params.n == '3') or true: cannot compare a number with a text (`==`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: params.n is lessthan 'a': cannot compare a number with a text (`<`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: [1, 'a'] | select('>', 0) | list | length == 1: cannot compare a text with a number (`>`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: [1, 'a'] | select('==', 1) | list | length == 1: cannot compare a text with a number (`==`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: [1, 'a'] | reject('equalto', 'a') | list | length == 1: cannot compare a number with a text (`==`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: [{'a': '1'}] | selectattr('a', 'eq', 1) | list | length == 1: cannot compare a text with a number (`==`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: [{'a': '1'}] | rejectattr('a', '!=', 1) | list | length == 1: cannot compare a text with a number (`!=`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: params.n is eq '3': cannot compare a number with a text (`==`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: 'a' > 0 in [true]: cannot compare a text with a number (`>`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: params.n not in params.list and 3 in [3] and 1 < 'a' not in ['a']: cannot compare a number with a text (`<`); convert the text with `| int` or `| float`, or declare the output with type = "integer"
        if: tasks.a-1.outputs.gone > 'x': task `a-1` left no output `gone`; add `| default(…)` if that can be
        if: params.n == > 1: syntax error (unexpected `>`)
        "#);
}

#[test]
fn of_a_secret_only_its_being_there_is_compared() {
    let decided = |text: &str| {
        let hidden: BTreeMap<String, Value> = BTreeMap::from([("pin".to_owned(), json!("***"))]);
        with(&hidden, |values| condition(text, &command(&["true"]), values))
            .map_err(|error| error.to_string())
    };
    for text in ["params.pin > 100000", "params.pin == '1234'", "'1234' != params.pin", "'' < params.pin"] {
        assert!(decided(text).unwrap_err().contains("is a secret"), "{text}");
    }
    assert_eq!(decided("params.pin != '' and params.pin != none and not '' == params.pin"), Ok(true));
}

#[test]
fn lists() {
    assert_eq!(listed("params.list").unwrap(), [json!("a"), json!({ "b": 1 })]);
    assert_eq!(listed("params.v | split(',')").unwrap(), [json!("eu"), json!("us")]);
    assert_eq!(listed("range(params.n)").unwrap(), [json!(0), json!(1), json!(2)]);
    assert_eq!(listed("[]").unwrap(), Vec::<Value>::new());
    assert_eq!(listed(&format!("range({MAX_ITEMS})")).unwrap().len(), MAX_ITEMS);
    let said: Vec<String> = [
        "params.n",
        "params.v",
        "{'a': 1}",
        "range(10_001)",
        "range(10_000_000)",
        "[0] * 1000000",
        "[0] * 1000000000",
        "params.long",
        "['x' * 1000000] * 100",
        "[range(100000)] * 100",
        "tasks.a-1.output | lines",
    ]
    .map(|text| listed(text).unwrap_err().to_string())
    .into();
    insta::assert_snapshot!(said.join("\n"), @r#"
        foreach: params.n: this is a number, and foreach goes over a list
        foreach: params.v: this is a text, and foreach goes over a list: `… | split(",")` or `… | lines` make one of it
        foreach: {'a': 1}: this is an object, and foreach goes over a list
        foreach: range(10_001): there are more than 10000 items: split the work, or have one item do more
        foreach: range(10_000_000): there are more than 10000 items: split the work, or have one item do more
        foreach: [0] * 1000000: expressions do not multiply; let the task that makes the number multiply it
        foreach: [0] * 1000000000: expressions do not multiply; let the task that makes the number multiply it
        foreach: params.long: there are more than 10000 items: split the work, or have one item do more
        foreach: ['x' * 1000000] * 100: expressions do not multiply; let the task that makes the number multiply it
        foreach: [range(100000)] * 100: expressions do not multiply; let the task that makes the number multiply it
        foreach: tasks.a-1.output | lines: logs are not read for what is decided before a task starts; have that task write what matters to $CIS_OUTPUT, and use tasks.ID.outputs.NAME
        "#);
}

#[test]
fn a_list_that_a_name_alone_gives_is_bounded_too() {
    let text = "x".repeat(MAX_ITEMS_BYTES - 2);
    let params =
        BTreeMap::from([("full".to_owned(), json!([&text, 10])), ("long".to_owned(), json!([text, 100]))]);
    let listed = |text: &str| with(&params, |values| items(text, &command(&["true"]), values));
    assert_eq!(listed("params.full").unwrap().len(), 2);
    for text in ["params.long", "params.long | list"] {
        let said = listed(text).unwrap_err().to_string();
        let wanted =
            format!("the items are longer than {MAX_ITEMS_BYTES} bytes in all: have each name a file");
        assert_eq!(said, format!("foreach: {text}: {wanted}"));
    }
}

#[test]
fn items_and_logs_stand_in_texts() {
    let task = command(&["{{ item }} {{ item.name }} {{ item.sizes[0] + 1 }} {{ tasks.a-1.output | trim }}"]);
    let item = json!({ "name": "eu", "sizes": [2] });
    let tails = BTreeMap::from([(TaskId::new("a-1").unwrap(), "done\n".to_owned())]);
    let rendered =
        with(&params(), |values| render(&task, &Values { item: Some(&item), tails: &tails, ..*values }));
    let wanted = r#"{"name":"eu","sizes":[2]} eu 3 done"#.to_owned();
    assert_eq!(rendered.unwrap().program, Program::Argv(vec![wanted]));

    let said: Vec<String> = ["{{ item }}", "{{ item.x }}", "{{ tasks.b.output }}", "{{ tasks.a-1.outputs }}"]
        .map(|text| with(&params(), |values| render(&command(&[text]), values)).unwrap_err().to_string())
        .into();
    insta::assert_snapshot!(said.join("\n"), @r#"
        command[0]: {{ item }}: only a task with foreach has an item
        command[0]: {{ item.x }}: only a task with foreach has an item
        command[0]: {{ tasks.b.output }}: the log of task `b` is not there; add `| default(…)` if that can be
        command[0]: tasks.a-1.outputs: `tasks.a-1.outputs` is not a value; write tasks.ID.outputs.NAME, or tasks.ID.output for the end of its log
        "#);
    let question = with(&params(), |values| text("Deploy {{ params.v }}?", &task, values, "approval"));
    assert_eq!(question.unwrap(), "Deploy eu,us?");
}

#[test]
fn what_a_decision_and_what_a_start_refer_to() {
    let task = Task {
        condition: Some("tasks.a.outputs.x > 1".into()),
        foreach: Some(Foreach::Expression("tasks.b.outputs.y".into())),
        approval: Some(Approval {
            prompt: "{{ tasks.c.outputs.z }}?".into(),
            timeout_ms: None,
            allowed: None,
        }),
        cache: Some(Cache { key: CacheKey::Text("{{ tasks.d.outputs.k }}".into()), ttl_ms: None }),
        ..command(&["{{ tasks.e.outputs.v }}{{ tasks.f.output }}{{ tasks.f.output | upper }}{{ item }}"])
    };
    let names = |found: Vec<(TaskId, String)>| -> Vec<String> {
        found.into_iter().map(|(id, name)| format!("{id}.{name}")).collect()
    };
    assert_eq!(names(decision_outputs(&task)), ["a.x", "b.y", "c.z"]);
    assert_eq!(names(referenced_outputs(&task)), ["d.k", "e.v"]);
    assert_eq!(referenced_tails(&task), [TaskId::new("f").unwrap()]);
    assert!(decision_outputs(&super::task(Action::Command(vec!["true".into()]))).is_empty());
}
