//! Sessions that report or ask without end: they cost themselves, and nobody else.

use serde_json::Value;

use super::harness::{Cis, eventually};

#[test]
fn a_session_that_reports_in_a_loop_is_held_back_and_its_last_prompt_is_not_lost() {
    let cis = Cis::new();
    let run = cis.start(
        r#"version = 1
[dag]
id = "noise"
[[tasks]]
id = "noisy"
script = '''
while [ ! -e "$E2E_WORK/calm" ]; do
    printf '\033]7501;state=blocked:app=x:kind=question\a'; sleep 0.3
    printf '\033]7501;state=working:app=x\a'; sleep 0.1
done
printf 'Really? [y/n] '; read -r x
'''
[[tasks]]
id = "quiet"
script = "while [ ! -e \"$E2E_WORK/ask\" ]; do sleep 0.1; done; printf 'Proceed? [y/n] '; read -r x"
"#,
    );
    eventually("it is held back, and that is said", || {
        // There is nothing to be explained before its session lives.
        let said = cis.run(["dag", "explain", "noisy", "--json"]).stdout;
        said.contains("not in the inbox yet").then_some(())
    });
    let waits = |task: &str, question: &str| {
        eventually(&format!("{task} {question}"), || {
            let items = cis.json(&["inbox"])["items"].as_array()?.clone();
            let asks = |item: &Value| item["question"].as_str().is_some_and(|text| text.contains(question));
            items.into_iter().find(|item| item["task"] == task && asks(item))
        })
    };
    cis.write("ask", "");
    let quiet = waits("quiet", "");
    assert_eq!(quiet["episode"], 1);
    cis.write("calm", "");
    let last = waits("noisy", "Really?");
    assert!(last["episode"].as_u64().unwrap() < 40, "{last}");
    for item in [quiet, last] {
        cis.ok(["answer", item["id"].as_str().unwrap(), "--text", "y"]);
    }
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_session_that_asks_in_a_loop_hears_when_it_may_ask_again() {
    let cis = Cis::new();
    let run = cis.start_task(
        "asks",
        r#"
tty = false
script = '''
n=0
while [ $n -lt 100 ]; do
    n=$((n + 1))
    "$E2E_CIS" task ask "Number $n?" --timeout 10ms 2> "$E2E_WORK/refused" && exit 9
    test $? = 1 || break
done
echo $n > "$E2E_WORK/asked"
'''
"#,
    );
    cis.wait_run(&run, "succeeded");
    let refused = cis.read("refused");
    assert!(refused.contains("asks too often") && refused.contains("it may ask again in "), "{refused}");
    let asked: u32 = cis.read("asked").trim().parse().unwrap();
    assert!((33..100).contains(&asked), "{asked}");
    assert_eq!(cis.ok(["inbox"]), "Nothing waits for you.\n");
}
