//! Tasks of agents.

use super::super::super::model::{Action, Prompt};
use super::{HEAD, right, task};

#[test]
fn an_agent_has_a_prompt_or_a_file_with_one_and_always_a_terminal() {
    let dag = right(&format!(
        "{HEAD}defaults = {{ tty = false }}\n[[tasks]]\nid = \"a\"\nagent = \"gemini\"\nprompt = \"Do it.\"\n\
         [[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nagent = \"my-own.1\"\nprompt_file = \"p/{{{{ run.id }}}}.md\"\n"
    ));
    let prompts = [Prompt::Text("Do it.".into()), Prompt::File("p/{{ run.id }}.md".into())];
    for ((task, agent), prompt) in dag.tasks.iter().zip(["gemini", "my-own.1"]).zip(prompts) {
        assert_eq!(task.action, Action::Agent { agent: agent.into(), prompt });
        assert!(task.tty);
    }
}

#[test]
fn what_an_agent_cannot_have_is_told() {
    for (keys, said) in [
        ("agent = \"x\"", "this agent is not told what to do"),
        ("agent = \"x y\"\nprompt = \"p\"", "cannot be the id of an agent"),
        ("agent = \"x\"\nprompt = \" \"", "`prompt` is empty"),
        ("agent = \"x\"\nprompt = \"p\"\nprompt_file = \"f\"", "a prompt and a prompt_file"),
        ("agent = \"x\"\nprompt = \"p\"\nscript = \"s\"", "this task has an agent and a script"),
        ("command = [\"x\"]\nagent = \"x\"\nprompt = \"p\"", "this task has a command and an agent"),
        ("agent = \"x\"\nprompt = \"p\"\ntty = false", "an agent needs a terminal"),
        ("agent = \"x\"\nprompt = \"p\"\nshell = \"sh\"", "`shell` is for scripts"),
        ("script = \"s\"\nprompt = \"p\"", "`prompt` is for agents"),
        ("agent = \"x\"\nprompt = \"{{ params.none }}\"", "no parameter `none`"),
        ("agent = \"x\"\nprompt = \"{{ tasks.other.output }}\"", "no task has the id `other`"),
    ] {
        let found = task(keys);
        assert!(found.contains(said), "{keys}: {found}");
    }
}
