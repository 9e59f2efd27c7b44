//! What a task gets of those that it needs: environment, file, templates, and what people are shown of it.

use serde_json::Value;

use super::harness::{Cis, ulid_in};

const SECRET: &str = "hunter2-correct-horse";

const DAG: &str = r#"
version = 1
[dag]
id = "context"
[[tasks]]
id = "build-it"
secrets = { TOKEN = { env = "MY_TOKEN" } }
script = '''
printf '\033[1mbuilt\033[0m with %s\n' "$TOKEN"
printf 'version=1.2 beta\nsizes={"a": 1}\nleak=%s!\n' "$TOKEN" >> "$CIS_OUTPUT"
'''
outputs = { sizes = { type = "json" } }
[[tasks]]
id = "quiet"
command = ["true"]
[[tasks]]
id = "alone"
script = 'env | grep "^CIS_[NC][EO]" > "$E2E_WORK/alone.env" || true'
[[tasks]]
id = "after-quiet"
needs = ["quiet"]
script = 'env | grep "^CIS_[NC][EO]" > "$E2E_WORK/quiet.env" || true'
[[tasks]]
id = "use"
needs = ["build-it", "quiet"]
tty = false
script = '''
env | grep '^CIS_NEED' | sort > "$E2E_WORK/use.env"
cat "$CIS_CONTEXT" > "$E2E_WORK/context.json"
stat -c %a "$CIS_CONTEXT" > "$E2E_WORK/mode"
printf %s "$CIS_CONTEXT" > "$E2E_WORK/path"
printf %s {{ tasks.build-it.output }} > "$E2E_WORK/tail"
echo "it leaks $CIS_NEED_BUILD_IT_LEAK"
'''
"#;

#[test]
fn a_task_gets_what_its_needs_left_and_whoever_looks_sees_no_secret() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let out = cis.dag(DAG, &["--json"]).expect(0);
    assert_eq!(cis.read("alone.env"), "", "a task without needs gets nothing");
    assert_eq!(cis.read("quiet.env"), "CIS_NEEDS=quiet\n", "nothing was left, so there is no file");
    assert_eq!(
        cis.read("use.env"),
        format!(
            "CIS_NEEDS=build-it quiet\nCIS_NEED_BUILD_IT_LEAK={SECRET}!\nCIS_NEED_BUILD_IT_SIZES={{\"a\":1}}\n\
             CIS_NEED_BUILD_IT_VERSION=1.2 beta\n"
        )
    );
    let context: Value = serde_json::from_str(&cis.read("context.json")).unwrap();
    let built = &context["needs"]["build-it"];
    assert_eq!(context["task"], "use");
    assert_eq!(built["state"], "succeeded");
    assert_eq!(built["outputs"]["leak"], format!("{SECRET}!"), "a later task gets the real value");
    assert_eq!(built["outputs"]["sizes"]["a"], 1);
    assert_eq!(built["output"], "built with ***\n", "logs are plain and redacted");
    assert_eq!(cis.read("tail"), "built with ***\n");
    assert_eq!(cis.read("mode"), "600\n");
    let path = cis.read("path");
    assert!(path.starts_with(cis.home().to_str().unwrap()), "{path}");
    assert!(!std::path::Path::new(&path).exists(), "the file goes with its session");
    let shown = [
        out.stdout,
        cis.ok(["dag", "context", "use"]),
        cis.json(&["dag", "context", "use"]).to_string(),
        cis.ok(["dag", "logs", "use"]),
    ];
    assert!(shown[1].contains("CIS_NEED_BUILD_IT_LEAK=***!"), "{}", shown[1]);
    assert!(shown[1].contains("built with ***"), "{}", shown[1]);
    assert!(shown[3].contains("it leaks ***"), "{}", shown[3]);
    for text in shown {
        assert!(!text.contains(SECRET), "{text}");
    }
    let typo = cis.run(["dag", "context", "usee"]).expect(2);
    assert!(typo.stderr.contains("did you mean `use`?"), "{}", typo.stderr);
}

#[test]
fn what_a_task_of_many_needs_gets_is_bounded_and_says_so() {
    let mut text = "version = 1\n[dag]\nid = \"many\"\n[dag.defaults]\ntty = false\n".to_owned();
    let names: Vec<String> = (0..300).map(|n| format!("\"t{n:03}\"")).collect();
    for name in &names {
        text.push_str(&format!("[[tasks]]\nid = {name}\ncommand = [\"echo\", \"a line\"]\n"));
    }
    text.push_str(&format!(
        "[[tasks]]\nid = \"all\"\nneeds = [{}]\nscript = 'cat \"$CIS_CONTEXT\" > \"$E2E_WORK/context.json\"'\n",
        names.join(", ")
    ));
    let cis = Cis::new();
    cis.dag(&text, &[]).expect(0);
    let context: Value = serde_json::from_str(&cis.read("context.json")).unwrap();
    let needs = context["needs"].as_object().unwrap();
    assert_eq!(needs.len(), 300);
    assert_eq!(needs["t000"]["output"], "a line\n");
    let without: Vec<_> = needs.values().filter(|need| need["output"].is_null()).collect();
    assert!(!without.is_empty() && without.iter().all(|need| need["incomplete"] == true));
}

#[test]
fn items_of_a_list_with_secrets_get_the_real_ones() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let text = r#"
version = 1
[dag]
id = "items"
[dag.defaults]
tty = false
[[tasks]]
id = "plan"
secrets = { TOKEN = { env = "MY_TOKEN" } }
script = 'printf "list=[\"eu\", \"us-%s\"]\n" "$TOKEN" >> "$CIS_OUTPUT"'
outputs = { list = { type = "json" } }
[[tasks]]
id = "each"
needs = ["plan"]
foreach = "tasks.plan.outputs.list"
script = 'echo "at {{ item }}"; echo "to={{ item }}" >> "$CIS_OUTPUT"; echo "{{ item }} $CIS_NEEDS" >> "$E2E_WORK/each"'
outputs = { to = { type = "string" } }
[[tasks]]
id = "all"
needs = ["each"]
script = 'printf %s "$CIS_NEED_EACH_TO" > "$E2E_WORK/all"; printf %s "{{ tasks.each.outputs.to }}" > "$E2E_WORK/text"; echo "it is $CIS_NEED_EACH_TO"'
"#;
    let out = cis.dag(text, &["--json"]).expect(0);
    let mut lines: Vec<String> = cis.read("each").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["eu plan".to_owned(), format!("us-{SECRET} plan")]);
    let list = format!(r#"["eu","us-{SECRET}"]"#);
    assert_eq!((cis.read("all"), cis.read("text")), (list.clone(), list));
    let shown = [
        out.stdout,
        cis.ok(["dag", "logs", "each.2"]),
        cis.ok(["dag", "logs", "all"]),
        cis.ok(["dag", "context", "all"]),
        cis.show(&ulid_in(&cis.ok(["dag", "list", "--json"]))).to_string(),
    ];
    assert_eq!(shown[1], "at ***\n");
    assert!(shown[3].contains("log      at eu") && shown[3].contains("at ***"), "{}", shown[3]);
    for text in shown {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_long_value_with_a_secret_reaches_only_whom_names_it() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let text = r#"
version = 1
[dag]
id = "long"
[dag.defaults]
tty = false
[[tasks]]
id = "a"
secrets = { TOKEN = { env = "MY_TOKEN" } }
script = '''
printf 'long=%s %s\n' "$TOKEN" "$(head -c 20000 /dev/zero | tr '\0' x)" >> "$CIS_OUTPUT"
'''
[[tasks]]
id = "b"
needs = ["a"]
script = 'cat "$CIS_CONTEXT" > "$E2E_WORK/context.json"; env > "$E2E_WORK/env"'
"#;
    cis.dag(text, &[]).expect(0);
    let context: Value = serde_json::from_str(&cis.read("context.json")).unwrap();
    let need = &context["needs"]["a"];
    assert!(need["outputs"]["long"].as_str().unwrap().starts_with("*** xxx"), "no redactor takes it");
    assert_eq!(need["incomplete"], true);
    assert!(!cis.read("env").contains("CIS_NEED_A_LONG"), "it is too long for a variable");
}

#[test]
fn files_of_a_session_go_also_when_another_life_of_the_node_sees_its_end() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "twice"
[[tasks]]
id = "a"
command = ["echo", "a line"]
[[tasks]]
id = "b"
needs = ["a"]
script = 'while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done; cat "$CIS_CONTEXT" > "$E2E_WORK/context.json"'
"#;
    let run = cis.start(text);
    cis.session_of("b");
    super::harness::kill_9(cis.node_pid().unwrap());
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert!(cis.read("context.json").contains("a line"));
    let left: Vec<_> = std::fs::read_dir(cis.home().join("outputs")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(ulid_in(&cis.ok(["dag", "list", "--json"])), run);
}
